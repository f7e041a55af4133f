/* tables/withheld: a set that changes with the transaction or not at all. */
#include "data-plane/tables/withheld.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

static const unsigned char *id(unsigned char c)
{
	static unsigned char bytes[WITHHELD_ID_SIZE];

	bytes[WITHHELD_ID_SIZE - 1] = c;
	return bytes;
}

static void add(struct withheld *w, unsigned char c)
{
	assert_int_equal(withheld_add(w, TABLES_CERTIFICATE, id(c), NULL), 0);
}

static bool has(const struct withheld *w, unsigned char c)
{
	return withheld_has(w, TABLES_CERTIFICATE, id(c));
}

static void test_transactions(void **state)
{
	struct withheld w;

	(void)state;
	withheld_init(&w);
	assert_false(has(&w, 1));
	withheld_begin(&w, false);
	add(&w, 1);
	assert_true(has(&w, 1));
	withheld_abort(&w);
	assert_false(has(&w, 1));
	withheld_begin(&w, false);
	add(&w, 1);
	add(&w, 2);
	withheld_commit(&w);
	assert_true(has(&w, 1) && has(&w, 2));
	assert_false(withheld_has(&w, TABLES_SNI, id(1)));
	assert_true(withheld_any(&w, TABLES_CERTIFICATE));
	assert_false(withheld_any(&w, TABLES_SNI));
	/* Removed, and taken back. */
	withheld_begin(&w, false);
	assert_int_equal(withheld_remove(&w, TABLES_CERTIFICATE, id(1), NULL), 0);
	assert_int_equal(withheld_remove(&w, TABLES_CERTIFICATE, id(9), NULL), 0);
	assert_false(has(&w, 1));
	assert_true(has(&w, 2));
	withheld_abort(&w);
	assert_true(has(&w, 1));
	/* A commit that changed nothing keeps all; a replacing one keeps what came. */
	withheld_begin(&w, false);
	withheld_commit(&w);
	assert_true(has(&w, 1));
	withheld_begin(&w, true);
	add(&w, 3);
	withheld_commit(&w);
	assert_true(has(&w, 3));
	assert_false(has(&w, 1) || has(&w, 2));
	withheld_deinit(&w);
}

static void test_no_memory(void **state)
{
	struct withheld w;
	struct err e = ERR_INIT;

	(void)state;
	withheld_init(&w);
	withheld_begin(&w, false);
	add(&w, 1);
	withheld_commit(&w);
	for (unsigned long n = 1;; n++) {
		int rc;

		withheld_begin(&w, false);
		oom_fail_at(n);
		rc = withheld_add(&w, TABLES_SNI, id(1), &e);
		if (!oom_happened()) {
			assert_int_equal(rc, 0);
			break;
		}
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_MEMORY);
		withheld_abort(&w);
		assert_true(has(&w, 1));
	}
	withheld_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
