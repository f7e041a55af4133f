/* Memory of nghttp2: sizes, what is used again, what is bounded, what runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "common/http/h2_mem.h"

static const size_t sizes[] = {
	0, 1, 31, 32, 33, 64, 65, 500, 1000, 1023, H2_MEM_LARGEST, H2_MEM_LARGEST + 1, 5000};

static void test_pieces_do_not_meet(void **state)
{
	struct h2_mem m = {0};
	nghttp2_mem k = h2_mem_hooks(&m);
	void *p[array_len(sizes)];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < array_len(sizes); i++) {
			p[i] = k.malloc(sizes[i], k.mem_user_data);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % 16, 0);
			memset(p[i], (int)i + 1, sizes[i]);
		}
		for (size_t i = 0; i < array_len(sizes); i++) {
			const unsigned char *bytes = p[i];

			for (size_t n = 0; n < sizes[i]; n++)
				assert_int_equal(bytes[n], i + 1);
			k.free(p[i], k.mem_user_data);
		}
	}
	h2_mem_deinit(&m);
	assert_int_equal(m.bytes, 0);
}

static void test_a_used_piece_is_zeroed(void **state)
{
	struct h2_mem m = {0};
	nghttp2_mem k = h2_mem_hooks(&m);
	unsigned char *p = k.malloc(96, k.mem_user_data);

	(void)state;
	assert_non_null(p);
	memset(p, 0xff, 96);
	k.free(p, k.mem_user_data);
	p = k.calloc(3, 30, k.mem_user_data);
	assert_non_null(p);
	for (size_t i = 0; i < 90; i++)
		assert_int_equal(p[i], 0);
	k.free(p, k.mem_user_data);
	h2_mem_deinit(&m);
}

static void test_resize_keeps_bytes(void **state)
{
	struct h2_mem m = {0};
	nghttp2_mem k = h2_mem_hooks(&m);
	unsigned char *p = NULL;

	(void)state;
	for (size_t n = 1; n < 3000; n += 13) {
		p = k.realloc(p, n, k.mem_user_data);
		assert_non_null(p);
		p[n - 1] = (unsigned char)n;
		for (size_t i = 1; i <= n; i += 13)
			assert_int_equal(p[i - 1], (unsigned char)i);
	}
	k.free(p, k.mem_user_data);
	k.free(NULL, k.mem_user_data);
	h2_mem_deinit(&m);
}

static void test_what_cannot_be(void **state)
{
	struct h2_mem m = {0};
	nghttp2_mem k = h2_mem_hooks(&m);
	unsigned char *p = k.malloc(10, k.mem_user_data);

	(void)state;
	assert_non_null(p);
	p[9] = 7;
	assert_null(k.malloc(SIZE_MAX, k.mem_user_data));
	assert_null(k.malloc(SIZE_MAX - 8, k.mem_user_data));
	assert_null(k.calloc(SIZE_MAX / 2, 3, k.mem_user_data));
	assert_null(k.realloc(p, SIZE_MAX, k.mem_user_data));
	assert_int_equal(p[9], 7);
	k.free(p, k.mem_user_data);
	h2_mem_deinit(&m);
}

static void test_kept_is_bounded(void **state)
{
	enum { PIECES = 2 * H2_MEM_KEPT / H2_MEM_LARGEST };
	static void *p[PIECES];
	struct h2_mem m = {0};
	nghttp2_mem k = h2_mem_hooks(&m);

	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		p[i] = k.malloc(H2_MEM_LARGEST, k.mem_user_data);
		assert_non_null(p[i]);
	}
	for (size_t i = 0; i < PIECES; i++) {
		k.free(p[i], k.mem_user_data);
		assert_true(m.bytes <= H2_MEM_KEPT);
	}
	h2_mem_deinit(&m);
	assert_int_equal(m.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_do_not_meet),
		cmocka_unit_test(test_a_used_piece_is_zeroed),
		cmocka_unit_test(test_resize_keeps_bytes),
		cmocka_unit_test(test_what_cannot_be),
		cmocka_unit_test(test_kept_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
