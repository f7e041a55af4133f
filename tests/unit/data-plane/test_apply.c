/* sync/apply: whole revisions or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/sync/apply.h"
#include "data-plane/sync/decode.h"
#include "data-plane/tables/tables.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testchange.h"

/* One CA, two leafs with their keys, and a set of tables. */
struct bed {
	struct buf leaf[2], key[2], message;
	struct testpair pair[2];
	struct tables *tables;
	struct apply *apply;
};

static struct bed bed;

static int setup(void **state)
{
	struct testca ca;
	struct err e = ERR_INIT;

	(void)state;
	memset(&bed, 0, sizeof(bed));
	testca_init(&ca, "ca");
	for (int i = 0; i < 2; i++) {
		const struct testcert_options o = {.san = i ? "DNS:b.example" : "DNS:a.example"};
		X509 *cert;
		EVP_PKEY *key;

		testcert_issue(&ca, &o, &cert, &key);
		bed.pair[i].leaf = testder_cert(&bed.leaf[i], cert);
		bed.pair[i].key = testder_key(&bed.key[i], key);
		X509_free(cert);
		EVP_PKEY_free(key);
	}
	testca_deinit(&ca);
	assert_int_equal(tables_create(&bed.tables, NULL, &e), 0);
	bed.apply = apply_create(bed.tables, NULL);
	assert_non_null(bed.apply);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	apply_free(bed.apply);
	tables_free(bed.tables);
	for (int i = 0; i < 2; i++) {
		buf_deinit(&bed.leaf[i]);
		buf_deinit(&bed.key[i]);
	}
	buf_deinit(&bed.message);
	return 0;
}

static int stage(struct str encoded, struct err *e)
{
	struct plane_message m;
	int rc;

	if (plane_change_decode(&m, encoded, e) != 0)
		return -1;
	rc = apply_change(bed.apply, &m.change, e);
	plane_message_free(&m);
	return rc;
}

static void must(struct str encoded)
{
	struct err e = ERR_INIT;

	if (stage(encoded, &e) != 0)
		fail_msg("%s", e.message);
}

static void must_commit(uint64_t revision)
{
	struct err e = ERR_INIT;

	if (apply_commit(bed.apply, STR("epoch"), revision, NULL, &e) != 0)
		fail_msg("%s", e.message);
}

static void begin_snapshot(uint64_t revision)
{
	struct err e = ERR_INIT;

	assert_int_equal(apply_begin_snapshot(bed.apply, STR("epoch"), revision, &e), 0);
}

/* a.example -> certificate 1 with pair 0. */
static void first_snapshot(void)
{
	begin_snapshot(1);
	must(testchange_certificate(&bed.message, 1, &bed.pair[0], 1));
	must(testchange_sni(&bed.message, 11, "a.example", 1));
	must(testchange_challenge(&bed.message, 21, "a.example", "tok", "tok.auth"));
	must(testchange_ticket(&bed.message, 31, 7, 0));
	must_commit(1);
}

/* Which pair serves a name now: 0, 1, or -1. */
static int serves(const char *name)
{
	const struct cert *c =
		certs_find(&bed.tables->certs, tables_enter(bed.tables), str_from(name));
	int found = -1;

	for (int i = 0; c && i < 2; i++)
		if (str_eq((struct str){(const char *)c->parts[0].leaf, c->parts[0].leaf_len},
			   bed.pair[i].leaf))
			found = i;
	rcu_leave();
	return found;
}

static bool challenge_is(const char *host, const char *token)
{
	bool found = challenges_find(&bed.tables->challenges, tables_enter(bed.tables),
				     str_from(host), str_from(token)) != NULL;

	rcu_leave();
	return found;
}

static void test_snapshot_and_delta(void **state)
{
	(void)state;
	assert_string_equal(apply_epoch(bed.apply), "");
	first_snapshot();
	assert_string_equal(apply_epoch(bed.apply), "epoch");
	assert_int_equal(apply_revision(bed.apply), 1);
	assert_int_equal(serves("a.example"), 0);
	assert_int_equal(serves("b.example"), -1);
	assert_true(challenge_is("a.example", "tok"));

	must(testchange_certificate(&bed.message, 2, &bed.pair[1], 1));
	must(testchange_sni(&bed.message, 12, "b.example", 2));
	must(testchange_removed(&bed.message, 21, "acme_challenges"));
	assert_int_equal(serves("b.example"), -1); /* not before the commit */
	assert_true(challenge_is("a.example", "tok"));
	must_commit(2);
	assert_int_equal(serves("b.example"), 1);
	assert_false(challenge_is("a.example", "tok"));
	/* A certificate's new content. */
	must(testchange_certificate(&bed.message, 1, &bed.pair[1], 1));
	must_commit(5);
	assert_int_equal(serves("a.example"), 1);
}

static void test_any_order(void **state)
{
	(void)state;
	begin_snapshot(1);
	must(testchange_sni(&bed.message, 11, "a.example", 1));
	must(testchange_certificate(&bed.message, 1, &bed.pair[0], 1));
	must_commit(3);
	assert_int_equal(serves("a.example"), 0);
	/* Two names change places; put, remove and put again in one revision. */
	must(testchange_sni(&bed.message, 12, "b.example", 2));
	must(testchange_certificate(&bed.message, 2, &bed.pair[1], 1));
	must_commit(4);
	must(testchange_sni(&bed.message, 11, "b.example", 1));
	must(testchange_sni(&bed.message, 12, "a.example", 2));
	must_commit(5);
	assert_int_equal(serves("a.example"), 1);
	assert_int_equal(serves("b.example"), 0);
	must(testchange_removed(&bed.message, 11, "snis"));
	must(testchange_sni(&bed.message, 11, "c.example", 2));
	must(testchange_removed(&bed.message, 1, "certificates"));
	must(testchange_certificate(&bed.message, 1, &bed.pair[0], 1));
	must(testchange_removed(&bed.message, 1, "certificates"));
	must_commit(6);
	assert_int_equal(serves("b.example"), -1);
	assert_int_equal(serves("c.example"), 1);
	/* Removing what is not there is fine: the feed is compacted. */
	must(testchange_removed(&bed.message, 99, "snis"));
	must(testchange_removed(&bed.message, 99, "certificates"));
	must_commit(7);
}

static void test_snapshot_replaces(void **state)
{
	uint64_t serial;

	(void)state;
	first_snapshot();
	serial = bed.tables->certs.next_serial;
	begin_snapshot(9);
	must(testchange_certificate(&bed.message, 1, &bed.pair[0], 1));
	must(testchange_sni(&bed.message, 12, "b.example", 1));
	assert_int_equal(serves("a.example"), 0);
	must_commit(9);
	assert_int_equal(serves("a.example"), -1);
	assert_int_equal(serves("b.example"), 0);
	assert_false(challenge_is("a.example", "tok"));
	/* What did not change is not made again. */
	assert_int_equal(bed.tables->certs.next_serial, serial);
	/* Another epoch may go back in numbers. */
	{
		struct err e = ERR_INIT;

		assert_int_equal(apply_begin_snapshot(bed.apply, STR("other"), 2, &e), 0);
		assert_int_equal(apply_commit(bed.apply, STR("other"), 2, NULL, &e), 0);
	}
	assert_int_equal(serves("b.example"), -1);
	assert_int_equal(apply_revision(bed.apply), 2);
}

/* A change that is refused, and one that makes the commit refuse. */
struct poison {
	const char *name;
	struct str (*make)(struct buf *out);
	const char *kind; /* culprit at commit; NULL: apply_change refuses */
	const char *message;
};

static struct str wrong_key(struct buf *out)
{
	struct testpair p = bed.pair[0];

	p.key = bed.pair[1].key;
	return testchange_certificate(out, 1, &p, 1);
}

static struct str bad_leaf(struct buf *out)
{
	struct testpair p = bed.pair[0];

	p.leaf = str_sub(p.leaf, 0, p.leaf.len - 5);
	return testchange_certificate(out, 1, &p, 1);
}

static struct str bad_key(struct buf *out)
{
	struct testpair p = bed.pair[0];

	p.key = STR("no key");
	return testchange_certificate(out, 1, &p, 1);
}

static struct str bad_chain(struct buf *out)
{
	static const struct str junk = {"junk", 4};
	struct testpair p = bed.pair[0];

	p.chain = &junk;
	p.chain_count = 1;
	return testchange_certificate(out, 1, &p, 1);
}

static struct str bad_name(struct buf *out)
{
	return testchange_sni(out, 12, "not a name", 1);
}

static struct str upper_name(struct buf *out)
{
	return testchange_sni(out, 12, "B.example", 1);
}

static struct str middle_wildcard(struct buf *out)
{
	return testchange_sni(out, 12, "b.*.example", 1);
}

static struct str bad_token(struct buf *out)
{
	return testchange_challenge(out, 22, "b.example", "../etc", "x");
}

static struct str upper_host(struct buf *out)
{
	return testchange_challenge(out, 22, "B.example", "t", "x");
}

static struct str dangling_sni(struct buf *out)
{
	return testchange_sni(out, 12, "b.example", 77);
}

static struct str taken_name(struct buf *out)
{
	return testchange_sni(out, 12, "a.example", 1);
}

static struct str used_certificate(struct buf *out)
{
	return testchange_removed(out, 1, "certificates");
}

static struct str taken_challenge(struct buf *out)
{
	return testchange_challenge(out, 22, "a.example", "tok", "other");
}

static const struct poison poisons[] = {
	{"key of another leaf", wrong_key, NULL, "certificate does not match key"},
	{"leaf cut off", bad_leaf, NULL, "certificates"},
	{"junk key", bad_key, NULL, "certificates"},
	{"junk chain", bad_chain, NULL, "certificates"},
	{"junk name", bad_name, NULL, "snis"},
	{"upper-case name", upper_name, NULL, "snis"},
	{"wildcard in the middle", middle_wildcard, NULL, "snis"},
	{"token with a path", bad_token, NULL, "token"},
	{"upper-case host", upper_host, NULL, "host"},
	{"sni without certificate", dangling_sni, "snis", "not there"},
	{"name of another sni", taken_name, "snis", "belongs to another"},
	{"certificate that names use", used_certificate, "certificates", "still refer"},
	{"challenge twice", taken_challenge, "acme_challenges", "same host and token"},
};

static void check_poison(const struct poison *p)
{
	struct apply_culprit culprit;
	struct err e = ERR_INIT;

	/* Good changes before it go down with it. */
	must(testchange_certificate(&bed.message, 2, &bed.pair[1], 1));
	must(testchange_sni(&bed.message, 19, "good.example", 2));
	if (p->kind) {
		must(p->make(&bed.message));
		assert_int_equal(apply_commit(bed.apply, STR("epoch"), 2, &culprit, &e), -1);
		assert_string_equal(culprit.kind, p->kind);
	} else {
		assert_int_equal(stage(p->make(&bed.message), &e), -1);
		/* Nothing but a rollback may follow. */
		assert_int_equal(apply_commit(bed.apply, STR("epoch"), 2, NULL, NULL), -1);
	}
	if (!strstr(e.message, p->message))
		fail_msg("%s: %s", p->name, e.message);
	apply_rollback(bed.apply);
	assert_int_equal(apply_revision(bed.apply), 1);
	assert_int_equal(serves("a.example"), 0);
	assert_int_equal(serves("good.example"), -1);
	assert_true(challenge_is("a.example", "tok"));
}

static void test_poison(void **state)
{
	(void)state;
	first_snapshot();
	for (size_t i = 0; i < array_len(poisons); i++) {
		print_message("  %s\n", poisons[i].name);
		check_poison(&poisons[i]);
	}
	/* The next good revision passes. */
	must(testchange_certificate(&bed.message, 2, &bed.pair[1], 1));
	must(testchange_sni(&bed.message, 19, "good.example", 2));
	must_commit(3);
	assert_int_equal(serves("good.example"), 1);
}

static void test_poison_snapshot(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	first_snapshot();
	begin_snapshot(5);
	must(testchange_sni(&bed.message, 12, "b.example", 1));
	assert_int_equal(apply_commit(bed.apply, STR("epoch"), 5, NULL, &e), -1);
	apply_rollback(bed.apply);
	assert_int_equal(serves("a.example"), 0);
	assert_true(challenge_is("a.example", "tok"));
}

/* Held back: as it was, in deltas and in snapshots, and what refers to it may dangle. */
static void test_held(void **state)
{
	(void)state;
	first_snapshot();
	must(testchange_held(&bed.message, 1, "certificates"));
	must(testchange_sni(&bed.message, 12, "b.example", 1));
	must_commit(2);
	assert_int_equal(serves("a.example"), 0);
	assert_int_equal(serves("b.example"), 0);
	/* One that this node never had. */
	must(testchange_held(&bed.message, 5, "certificates"));
	must(testchange_sni(&bed.message, 15, "never.example", 5));
	must(testchange_held(&bed.message, 25, "acme_challenges"));
	must(testchange_held(&bed.message, 35, "ticket_secrets"));
	must_commit(3);
	assert_int_equal(serves("never.example"), -1);
	/* In a snapshot it stays, and nothing else does. */
	begin_snapshot(4);
	must(testchange_held(&bed.message, 1, "certificates"));
	must(testchange_held(&bed.message, 11, "snis"));
	must(testchange_held(&bed.message, 21, "acme_challenges"));
	must(testchange_held(&bed.message, 5, "certificates"));
	must(testchange_sni(&bed.message, 15, "never.example", 5));
	must_commit(4);
	assert_int_equal(serves("a.example"), 0);
	assert_int_equal(serves("b.example"), -1);
	assert_int_equal(serves("never.example"), -1);
	assert_true(challenge_is("a.example", "tok"));
	/* The next version of it is taken; from then on references must hold again. */
	must(testchange_certificate(&bed.message, 1, &bed.pair[1], 1));
	must(testchange_certificate(&bed.message, 5, &bed.pair[0], 1));
	must_commit(5);
	assert_int_equal(serves("a.example"), 1);
	assert_int_equal(serves("never.example"), 0);
}

static void refused_commit(uint64_t revision, const char *kind)
{
	struct apply_culprit culprit;
	struct err e = ERR_INIT;

	assert_int_equal(apply_commit(bed.apply, STR("epoch"), revision, &culprit, &e), -1);
	assert_string_equal(culprit.kind, kind);
	apply_rollback(bed.apply);
}

static void test_references_after_a_hold(void **state)
{
	(void)state;
	first_snapshot();
	/* A hold that was rolled back allows nothing. */
	must(testchange_held(&bed.message, 5, "certificates"));
	apply_rollback(bed.apply);
	must(testchange_sni(&bed.message, 15, "never.example", 5));
	refused_commit(2, "snis");
	/* Removed for good: the name that dangled goes with it, or not at all. */
	must(testchange_held(&bed.message, 5, "certificates"));
	must(testchange_sni(&bed.message, 15, "never.example", 5));
	must_commit(2);
	must(testchange_certificate(&bed.message, 5, &bed.pair[1], 1));
	must_commit(3);
	must(testchange_removed(&bed.message, 5, "certificates"));
	refused_commit(4, "certificates");
	must(testchange_removed(&bed.message, 5, "certificates"));
	must(testchange_removed(&bed.message, 15, "snis"));
	must_commit(4);
	must(testchange_sni(&bed.message, 15, "never.example", 5));
	refused_commit(5, "snis");
	/* A name that is held back may refer to what is gone. */
	must(testchange_held(&bed.message, 11, "snis"));
	must(testchange_removed(&bed.message, 1, "certificates"));
	must_commit(5);
	assert_int_equal(serves("a.example"), -1);
}

static void test_revisions(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(apply_commit(bed.apply, STR("epoch"), 1, NULL, &e), -1); /* no snapshot */
	apply_rollback(bed.apply);
	first_snapshot();
	assert_int_equal(apply_commit(bed.apply, STR("epoch"), 1, NULL, &e), -1); /* not newer */
	apply_rollback(bed.apply);
	assert_int_equal(apply_commit(bed.apply, STR("alien"), 9, NULL, &e), -1);
	apply_rollback(bed.apply);
	assert_int_equal(apply_commit(bed.apply, STR(""), 9, NULL, &e), -1);
	apply_rollback(bed.apply);
	begin_snapshot(7);
	assert_int_equal(apply_commit(bed.apply, STR("epoch"), 6, NULL, &e), -1);
	apply_rollback(bed.apply);
	begin_snapshot(7);
	assert_int_equal(apply_commit(bed.apply, STR("alien"), 7, NULL, &e), -1);
	apply_rollback(bed.apply);
	must_commit(8); /* an empty revision */
	assert_int_equal(serves("a.example"), 0);
	assert_int_equal(apply_revision(bed.apply), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_snapshot_and_delta, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_snapshot_replaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_poison, setup, teardown),
		cmocka_unit_test_setup_teardown(test_poison_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_references_after_a_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_revisions, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
