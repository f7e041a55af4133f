/* A connection's certificate is verified once, as long as nothing changes. */
#include "data-plane/plugins/client_memo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testpki.h"

static struct {
	struct testca root, middle, leaf;
	STACK_OF(X509) * chain;
} pki;

static const char here[2]; /* two lists of authorities */

static int setup(void **state)
{
	(void)state;
	testpki_make(&pki.root, NULL, &(struct testpki_options){.name = "root", .ca = true});
	testpki_make(
		&pki.middle, &pki.root,
		&(struct testpki_options){
			.name = "middle", .ca = true, .from_seconds = -100, .to_seconds = 1000});
	testpki_make(&pki.leaf, &pki.middle,
		     &(struct testpki_options){.from_seconds = -100, .to_seconds = 2000});
	pki.chain = sk_X509_new_null();
	assert_true(sk_X509_push(pki.chain, pki.leaf.cert) > 0);
	assert_true(sk_X509_push(pki.chain, pki.middle.cert) > 0);
	assert_true(sk_X509_push(pki.chain, pki.root.cert) > 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sk_X509_free(pki.chain);
	testca_deinit(&pki.root);
	testca_deinit(&pki.middle);
	testca_deinit(&pki.leaf);
	clock_fake_end();
	return 0;
}

static bool known(uint64_t generation, const void *authorities)
{
	const struct client_memo_key key = {generation, authorities};
	STACK_OF(X509) *chain = NULL;
	bool yes = client_memo_get(pki.leaf.cert, &key, &chain);

	assert_int_equal(client_memo_get(pki.leaf.cert, &key, NULL), yes);
	if (yes) {
		assert_int_equal(sk_X509_num(chain), 3);
		for (int i = 0; i < 3; i++)
			assert_ptr_equal(sk_X509_value(chain, i), sk_X509_value(pki.chain, i));
	} else {
		assert_null(chain);
	}
	sk_X509_pop_free(chain, X509_free);
	return yes;
}

static void put(uint64_t generation, const void *authorities)
{
	const struct client_memo_key key = {generation, authorities};

	client_memo_put(pki.leaf.cert, &key, pki.chain);
}

static void test_circumstances(void **state)
{
	(void)state;
	assert_false(known(1, &here[0]));
	put(1, &here[0]);
	assert_true(known(1, &here[0]));
	assert_false(known(2, &here[0])); /* an authority may have gone */
	assert_false(known(1, &here[1])); /* another plugin trusts others */
	put(2, &here[1]);
	assert_true(known(2, &here[1]));
	assert_false(known(1, &here[0]));
}

static void test_dates(void **state)
{
	int64_t now = clock_wall_ms();

	(void)state;
	put(1, &here[0]);
	clock_fake(clock_mono_ns(), now + 900 * 1000);
	assert_true(known(1, &here[0]));
	clock_fake(clock_mono_ns(), now + 1100 * 1000); /* the authority's */
	assert_false(known(1, &here[0]));
	clock_fake(clock_mono_ns(), now - 200 * 1000);
	assert_false(known(1, &here[0]));
}

static void put_one(void *arg)
{
	(void)arg;
	put(3, &here[0]);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(put_one, NULL) > 0);
	assert_true(known(3, &here[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_circumstances, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
