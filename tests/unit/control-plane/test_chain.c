/* Which chain is taken: by its issuer, by where it ends, by its length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "control-plane/acme/chain.h"

static const struct {
	struct chain_facts next, best;
	struct chain_wish wish;
	bool better;
} rows[] = {
	/* Nothing is wished for: the first stays. */
	{{1, "A", true}, {3, "B", false}, {NULL, false}, false},
	{{1, "A", true}, {3, "B", false}, {"", false}, false},
	{{3, "A", false}, {2, "B", false}, {"A", false}, true},
	{{3, "B", false}, {2, "A", false}, {"A", false}, false},
	{{1, "A", false}, {2, "A", false}, {"A", false}, false},
	{{1, "C", false}, {2, "B", false}, {"A", false}, false},
	{{1, "a", false}, {2, "B", false}, {"A", false}, false},
	/* The shortest that ends at a root. */
	{{3, "A", true}, {2, "B", false}, {NULL, true}, true},
	{{2, "A", true}, {3, "B", true}, {NULL, true}, true},
	{{3, "A", true}, {3, "B", true}, {NULL, true}, false},
	{{1, "A", false}, {3, "B", true}, {NULL, true}, false},
	{{1, "A", false}, {3, "B", false}, {NULL, true}, false},
	/* The issuer comes first. */
	{{2, "A", true}, {3, "B", false}, {"B", true}, false},
	{{2, "B", true}, {3, "B", true}, {"B", true}, true},
};

static void test_better(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		if (chain_better(&rows[i].next, &rows[i].best, &rows[i].wish) != rows[i].better)
			fail_msg("row %zu", i);
}

static void test_suffices(void **state)
{
	const struct chain_facts f = {.length = 2, .issuer = "A", .anchored = true};

	(void)state;
	assert_true(chain_suffices(&f, &(struct chain_wish){NULL, false}));
	assert_true(chain_suffices(&f, &(struct chain_wish){"A", false}));
	assert_false(chain_suffices(&f, &(struct chain_wish){"B", false}));
	assert_false(chain_suffices(&f, &(struct chain_wish){"A", true}));
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"};
	struct chain_roots *roots = NULL;
	struct chain_facts f;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++)
		assert_int_equal(chain_read(&f, str_from(bad[i]), NULL, &e), -1);
	assert_int_equal(chain_roots_load(&roots, "/nonexistent/roots.pem", &e), -1);
	assert_non_null(strstr(e.message, "/nonexistent/roots.pem"));
	assert_int_equal(chain_roots_load(&roots, "/dev/null", &e), -1);
	chain_roots_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_better),
		cmocka_unit_test(test_suffices),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
