/* Clients' certificates that were revoked (TLS-09): who is asked, how often, and what counts when
 * nobody answers. */
#include "data-plane/plugins/revocation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "tests/unit/lib/responder.h"
#include "tests/unit/lib/testpki.h"

static struct {
	struct loop_fixture f;
	struct responder ocsp, crl;
	struct revocation *r;
	struct testca root, middle, leaf, sibling, lonely, listed, below;
	struct revocation_how how;
	unsigned done;
	enum revocation_status status;
	bool closed;
} world;

static void make(struct testca *out, const struct testca *issuer, const char *name, bool ca,
		 bool ocsp, bool crl)
{
	testpki_make(out, issuer,
		     &(struct testpki_options){.name = name,
					       .ca = ca,
					       .ocsp = ocsp ? world.ocsp.url : NULL,
					       .crl = crl ? world.crl.url : NULL});
}

static int setup(void **state)
{
	const struct revocation_options o = {
		.loop = &world.f.loop, .allow_private = true, .max_bytes = 1 << 20};

	(void)state;
	memset(&world, 0, sizeof(world));
	fixture_init(&world.f);
	responder_start(&world.ocsp, &world.f, NULL);
	responder_start(&world.crl, &world.f, NULL);
	make(&world.root, NULL, "root", true, false, false);
	make(&world.middle, &world.root, "middle", true, false, true);
	make(&world.leaf, &world.root, "leaf", false, true, true);
	make(&world.sibling, &world.root, "sibling", false, false, true);
	make(&world.listed, &world.root, "listed", false, false, true);
	make(&world.lonely, &world.root, "lonely", false, false, false);
	make(&world.below, &world.middle, "below", false, true, false);
	world.how = (struct revocation_how){.timeout_ms = 5000, .ttl_ms = 60000};
	assert_int_equal(revocation_create(&world.r, &o, NULL), 0);
	return 0;
}

static void on_closed(void *arg)
{
	*(bool *)arg = true;
}

static int teardown(void **state)
{
	struct testca *all[] = {&world.root,   &world.middle, &world.leaf, &world.sibling,
				&world.listed, &world.lonely, &world.below};

	(void)state;
	if (world.r && revocation_close(world.r, on_closed, &world.closed))
		run_until(&world.f, world.closed);
	responder_stop(&world.ocsp);
	responder_stop(&world.crl);
	for (size_t i = 0; i < array_len(all); i++)
		testca_deinit(all[i]);
	fixture_deinit(&world.f);
	clock_fake_end();
	return 0;
}

static void ocsp_says(const struct testca *about, const struct testca *issuer,
		      enum testpki_answer answer, long to)
{
	buf_clear(&world.ocsp.body);
	testpki_ocsp(&world.ocsp.body, about->cert, issuer, issuer, answer, -60, to);
}

static void crl_says(const struct testca *revoked, long to)
{
	buf_clear(&world.crl.body);
	testpki_crl(&world.crl.body, &world.root, revoked ? revoked->cert : NULL, -60, to);
}

static void on_done(enum revocation_status status, void *arg)
{
	(void)arg;
	world.done++;
	world.status = status;
}

static STACK_OF(X509) * chain_of(const struct testca *leaf, const struct testca *middle)
{
	STACK_OF(X509) *chain = sk_X509_new_null();

	assert_true(sk_X509_push(chain, leaf->cert) > 0);
	if (middle)
		assert_true(sk_X509_push(chain, middle->cert) > 0);
	assert_true(sk_X509_push(chain, world.root.cert) > 0);
	return chain;
}

static enum revocation_status ask_chain(const struct testca *leaf, const struct testca *middle,
					bool *at_once)
{
	STACK_OF(X509) *chain = chain_of(leaf, middle);
	struct revocation_wait *wait = NULL;
	unsigned before = world.done;
	enum revocation_status status =
		revocation_ask(world.r, chain, &world.how, on_done, NULL, &wait);

	*at_once = !wait;
	sk_X509_free(chain);
	if (!wait)
		return status;
	assert_int_equal(world.done, before);
	run_until(&world.f, world.done == before + 1);
	return world.status;
}

static enum revocation_status ask(const struct testca *leaf)
{
	bool at_once;

	return ask_chain(leaf, NULL, &at_once);
}

static void test_responder(void **state)
{
	bool at_once;

	(void)state;
	ocsp_says(&world.leaf, &world.root, TESTPKI_GOOD, 600);
	assert_int_equal(ask(&world.leaf), REVOCATION_GOOD);
	assert_string_equal(world.ocsp.method, "POST");
	assert_string_equal(world.ocsp.type, "application/ocsp-request");
	assert_int_equal(world.crl.requests, 0);
	/* Known from now on. */
	ocsp_says(&world.leaf, &world.root, TESTPKI_REVOKED, 600);
	assert_int_equal(ask_chain(&world.leaf, NULL, &at_once), REVOCATION_GOOD);
	assert_true(at_once);
	assert_int_equal(world.ocsp.requests, 1);
	/* But not for one who wants it fresh. */
	world.how.ttl_ms = 0;
	assert_int_equal(ask(&world.leaf), REVOCATION_REVOKED);
	assert_int_equal(world.ocsp.requests, 2);
}

static void test_list(void **state)
{
	bool at_once;

	(void)state;
	crl_says(&world.listed, 600);
	assert_int_equal(ask(&world.sibling), REVOCATION_GOOD);
	assert_string_equal(world.crl.method, "GET");
	/* The list is there already. */
	assert_int_equal(ask_chain(&world.listed, NULL, &at_once), REVOCATION_REVOKED);
	assert_true(at_once);
	assert_int_equal(world.crl.requests, 1);
	assert_int_equal(world.ocsp.requests, 0);
}

/* A responder that is of no use is not the end: the list is. */
static void test_responder_fails(void **state)
{
	static const unsigned statuses[] = {404, 500, 200};

	(void)state;
	crl_says(&world.leaf, 600);
	world.how.ttl_ms = 0;
	for (size_t i = 0; i < array_len(statuses); i++) {
		world.ocsp.status = statuses[i];
		assert_int_equal(ask(&world.leaf), REVOCATION_REVOKED);
		assert_int_equal(world.ocsp.requests, i + 1);
	}
	world.ocsp.status = 200;
	ocsp_says(&world.leaf, &world.root, TESTPKI_UNKNOWN, 600);
	assert_int_equal(ask(&world.leaf), REVOCATION_REVOKED);
}

static void test_nobody_says(void **state)
{
	bool at_once;

	(void)state;
	assert_int_equal(ask_chain(&world.lonely, NULL, &at_once), REVOCATION_UNKNOWN);
	assert_true(at_once);
	world.crl.status = world.ocsp.status = 503;
	assert_int_equal(ask_chain(&world.leaf, NULL, &at_once), REVOCATION_UNKNOWN);
	assert_false(at_once);
	/* Not asked again at once ... */
	assert_int_equal(ask_chain(&world.leaf, NULL, &at_once), REVOCATION_UNKNOWN);
	assert_true(at_once);
	assert_int_equal(world.ocsp.requests, 1);
	/* ... but soon. */
	clock_fake(clock_mono_ns() + (REVOCATION_RETRY_MS + 1) * 1000000ULL, clock_wall_ms());
	ocsp_says(&world.leaf, &world.root, TESTPKI_GOOD, 600);
	world.ocsp.status = 200;
	assert_int_equal(ask(&world.leaf), REVOCATION_GOOD);
}

static void test_silence(void **state)
{
	(void)state;
	world.ocsp.status = world.crl.status = 0;
	world.how.timeout_ms = 30;
	assert_int_equal(ask(&world.leaf), REVOCATION_UNKNOWN);
}

static void test_private(void **state)
{
	const struct revocation_options o = {.loop = &world.f.loop, .max_bytes = 1 << 20};
	bool at_once;

	(void)state;
	revocation_close(world.r, NULL, NULL);
	assert_int_equal(revocation_create(&world.r, &o, NULL), 0);
	ocsp_says(&world.leaf, &world.root, TESTPKI_GOOD, 600);
	assert_int_equal(ask_chain(&world.leaf, NULL, &at_once), REVOCATION_UNKNOWN);
	assert_true(at_once);
	assert_int_equal(world.ocsp.requests + world.crl.requests, 0);
}

/* An answer holds no longer than it says itself. */
static void test_until(void **state)
{
	int64_t now = clock_wall_ms();

	(void)state;
	ocsp_says(&world.leaf, &world.root, TESTPKI_GOOD, 10);
	assert_int_equal(ask(&world.leaf), REVOCATION_GOOD);
	clock_fake(clock_mono_ns(), now + 11000);
	ocsp_says(&world.leaf, &world.root, TESTPKI_REVOKED, 600);
	assert_int_equal(ask(&world.leaf), REVOCATION_REVOKED);
	assert_int_equal(world.ocsp.requests, 2);
}

static void test_authorities(void **state)
{
	bool at_once;

	(void)state;
	ocsp_says(&world.below, &world.middle, TESTPKI_GOOD, 600);
	crl_says(NULL, 600);
	assert_int_equal(ask_chain(&world.below, &world.middle, &at_once), REVOCATION_GOOD);
	assert_int_equal(world.ocsp.requests, 1);
	assert_int_equal(world.crl.requests, 1);
	crl_says(&world.middle, 600);
	world.how.ttl_ms = 0;
	assert_int_equal(ask_chain(&world.below, &world.middle, &at_once), REVOCATION_REVOKED);
	/* It names where to ask, and nobody answers there. */
	world.crl.status = 500;
	assert_int_equal(ask_chain(&world.below, &world.middle, &at_once), REVOCATION_UNKNOWN);
}

/* Many ask at once, one look-up is made; and one that has left is not told. */
static void test_together(void **state)
{
	STACK_OF(X509) *chain = chain_of(&world.leaf, NULL);
	STACK_OF(X509) *other = chain_of(&world.sibling, NULL);
	struct revocation_wait *waits[20];

	(void)state;
	world.ocsp.status = 404;
	crl_says(&world.sibling, 600);
	for (size_t i = 0; i < array_len(waits); i++) {
		revocation_ask(world.r, i % 2 ? other : chain, &world.how, on_done, NULL,
			       &waits[i]);
		assert_non_null(waits[i]);
	}
	assert_int_equal(revocation_counts(world.r).waits, 20);
	revocation_forget(waits[3]);
	revocation_forget(waits[0]);
	run_until(&world.f, world.done == 18);
	assert_int_equal(world.ocsp.requests, 1);
	assert_int_equal(world.crl.requests, 1);
	assert_int_equal(revocation_counts(world.r).waits, 0);
	assert_int_equal(revocation_counts(world.r).lookups, 0);
	assert_int_equal(revocation_counts(world.r).lists, 1);
	sk_X509_free(chain);
	sk_X509_free(other);
}

/* Going over the limits is UNKNOWN, at once. */
static void test_limits(void **state)
{
	struct testca clients[REVOCATION_LOOKUPS_MAX + 1];
	struct revocation_wait *waits[REVOCATION_LOOKUPS_MAX + 1];

	(void)state;
	world.ocsp.status = world.crl.status = 0;
	for (size_t i = 0; i < array_len(clients); i++) {
		STACK_OF(X509) * chain;

		make(&clients[i], &world.root, "client", false, true, false);
		chain = chain_of(&clients[i], NULL);
		assert_int_equal(
			revocation_ask(world.r, chain, &world.how, on_done, NULL, &waits[i]),
			REVOCATION_UNKNOWN);
		if (i < REVOCATION_LOOKUPS_MAX)
			assert_non_null(waits[i]);
		else
			assert_null(waits[i]);
		sk_X509_free(chain);
	}
	for (size_t i = 0; i < array_len(clients); i++) {
		if (waits[i])
			revocation_forget(waits[i]);
		testca_deinit(&clients[i]);
	}
	assert_int_equal(revocation_counts(world.r).waits, 0);
}

/* The worker stops while requests wait. */
static void test_close(void **state)
{
	STACK_OF(X509) *chain = chain_of(&world.leaf, NULL);
	struct revocation_wait *wait;

	(void)state;
	world.ocsp.status = 0;
	revocation_ask(world.r, chain, &world.how, on_done, NULL, &wait);
	assert_non_null(wait);
	assert_true(revocation_close(world.r, on_closed, &world.closed));
	world.r = NULL;
	assert_false(world.closed);
	revocation_forget(wait);
	run_until(&world.f, world.closed);
	assert_int_equal(world.done, 0);
	sk_X509_free(chain);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORLD(test_responder),	  WITH_WORLD(test_list),
		WITH_WORLD(test_responder_fails), WITH_WORLD(test_nobody_says),
		WITH_WORLD(test_silence),	  WITH_WORLD(test_private),
		WITH_WORLD(test_until),		  WITH_WORLD(test_authorities),
		WITH_WORLD(test_together),	  WITH_WORLD(test_limits),
		WITH_WORLD(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
