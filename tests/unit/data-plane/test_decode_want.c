/* sync/decode: names that are asked for, and what the control plane says of them. */
#include "data-plane/sync/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/wire.h"

/* host "a.example", verdict, 300 seconds, reason "why" */
#define ANSWER(verdict)                                                                            \
	"\x22\x15\x0a\x09"                                                                         \
	"a.example"                                                                                \
	"\x10" verdict "\x18\xac\x02"                                                              \
	"\x22\x03why"

static void test_answers(void **state)
{
	static const struct {
		struct str bytes;
		int verdict; /* 0: refused */
	} rows[] = {
		{STR(ANSWER("\x01")), WANT_COMES},
		{STR(ANSWER("\x02")), WANT_REFUSED},
		{STR(ANSWER("\x03")), WANT_CLIENT_REFUSED},
		{STR(ANSWER("\x00")), 0},
		{STR(ANSWER("\x04")), 0},
		{STR(ANSWER("\x7f")), 0},
		{STR("\x22\x00"), 0},
		{STR("\x22\x02\x0a\x09"), 0},
		{STR("\x20\x01"), 0},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct plane_message m;
		struct err e = ERR_INIT;
		int rc = plane_message_decode(&m, rows[i].bytes, &e);

		if ((rc == 0) != (rows[i].verdict != 0))
			fail_msg("row %zu: %s", i, e.message);
		if (rc != 0) {
			assert_int_equal(e.kind, ERR_INVALID);
			continue;
		}
		assert_int_equal(m.kind, PLANE_WANT_ANSWER);
		assert_int_equal(m.answer.verdict, rows[i].verdict);
		assert_true(str_eq(m.answer.host, STR("a.example")));
		assert_true(str_eq(m.answer.reason, STR("why")));
		assert_int_equal(m.answer.seconds, 300);
		plane_message_free(&m);
	}
}

/* Every cut and every changed byte has an answer. */
static void test_cut_and_flipped(void **state)
{
	const struct str whole = STR(ANSWER("\x02"));

	(void)state;
	for (size_t n = 0; n < whole.len; n++) {
		struct plane_message m;
		char copy[64];

		memcpy(copy, whole.ptr, whole.len);
		if (plane_message_decode(&m, (struct str){copy, n}, NULL) == 0)
			plane_message_free(&m);
		copy[n] = (char)(copy[n] ^ 0x81);
		if (plane_message_decode(&m, (struct str){copy, whole.len}, NULL) == 0)
			plane_message_free(&m);
	}
}

static void test_wants(void **state)
{
	static const char *const clients[] = {"", "192.0.2.1", "2001:db8::1"};

	(void)state;
	for (size_t i = 0; i < array_len(clients); i++) {
		struct buf b = BUF_INIT;
		const unsigned char *p;
		const char *text = "";
		size_t at = 1, n;

		assert_int_equal(node_encode_want(&b, "a.example", clients[i], NULL), 0);
		p = (const unsigned char *)b.data;
		assert_int_equal(p[0], 5 << 3 | 2);
		n = wire_varint(p, &at);
		assert_int_equal(wire_field(p + at, n, 1, &text), 9);
		assert_memory_equal(text, "a.example", 9);
		assert_int_equal(wire_field(p + at, n, 2, &text), strlen(clients[i]));
		buf_deinit(&b);
	}
}

static void encode(void *arg)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	(void)arg;
	if (node_encode_want(&b, "a.example", "", &e) != 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	buf_deinit(&b);
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(oom_each(encode, NULL) >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_wants),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
