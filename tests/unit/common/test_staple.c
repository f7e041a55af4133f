/* pki/staple: which OCSP responses may be stapled, and when. */
#include "common/pki/staple.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "tests/unit/lib/testpki.h"

static struct testca authority, other, leaf, sibling, delegate, stranger;

static int setup(void **state)
{
	(void)state;
	testpki_make(&authority, NULL, &(struct testpki_options){.name = "authority", .ca = true});
	testpki_make(&other, NULL, &(struct testpki_options){.name = "other", .ca = true});
	testpki_make(&leaf, &authority, &(struct testpki_options){.name = "leaf"});
	testpki_make(&sibling, &authority, &(struct testpki_options){.name = "sibling"});
	testpki_make(&delegate, &authority,
		     &(struct testpki_options){.name = "delegate", .usage = "OCSPSigning"});
	testpki_make(&stranger, &other,
		     &(struct testpki_options){.name = "stranger", .usage = "OCSPSigning"});
	return 0;
}

static int teardown(void **state)
{
	struct testca *all[] = {&authority, &other, &leaf, &sibling, &delegate, &stranger};

	(void)state;
	for (size_t i = 0; i < array_len(all); i++)
		testca_deinit(all[i]);
	return 0;
}

static void test_check(void **state)
{
	const struct {
		const char *name;
		const struct testca *about, *issuer, *signer;
		enum testpki_answer answer;
		long from, to;
		const char *why; /* NULL: good */
	} rows[] = {
		{"good", &leaf, &authority, &authority, TESTPKI_GOOD, -60, 3600, NULL},
		{"a delegate", &leaf, &authority, &delegate, TESTPKI_GOOD, -60, 3600, NULL},
		{"ended", &leaf, &authority, &authority, TESTPKI_GOOD, -600, -60, NULL},
		{"begins later", &leaf, &authority, &authority, TESTPKI_GOOD, 600, 3600, NULL},
		{"revoked", &leaf, &authority, &authority, TESTPKI_REVOKED, -60, 3600,
		 "it says \"revoked\" of the certificate"},
		{"unknown", &leaf, &authority, &authority, TESTPKI_UNKNOWN, -60, 3600,
		 "it says \"unknown\" of the certificate"},
		{"another one", &sibling, &authority, &authority, TESTPKI_GOOD, -60, 3600,
		 "it is about another certificate"},
		{"another issuer's", &leaf, &other, &other, TESTPKI_GOOD, -60, 3600,
		 "it is about another certificate"},
		{"another's signature", &leaf, &authority, &other, TESTPKI_GOOD, -60, 3600,
		 "its signature is not the issuer's: *"},
		{"another's delegate", &leaf, &authority, &stranger, TESTPKI_GOOD, -60, 3600,
		 "its signature is not the issuer's: *"},
		{"signed by a leaf", &leaf, &authority, &sibling, TESTPKI_GOOD, -60, 3600,
		 "its signature is not the issuer's: *"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf der = BUF_INIT;
		struct err e = ERR_INIT;
		int rc;

		testpki_ocsp(&der, rows[i].about->cert, rows[i].issuer, rows[i].signer,
			     rows[i].answer, rows[i].from, rows[i].to);
		rc = staple_check(buf_str(&der), leaf.cert, authority.cert, &e);
		if ((rc == 0) != !rows[i].why)
			fail_msg("%s: %s", rows[i].name, rc ? e.message : "taken");
		if (rows[i].why && strncmp(e.message, rows[i].why, strcspn(rows[i].why, "*")) != 0)
			fail_msg("%s: %s", rows[i].name, e.message);
		buf_deinit(&der);
	}
}

/* What a responder says now, good or not. */
static void test_read(void **state)
{
	const struct {
		const char *name;
		const struct testca *about, *issuer, *signer;
		enum testpki_answer answer;
		long from, to;
		enum staple_status status;
		const char *why; /* NULL: read */
	} rows[] = {
		{"good", &leaf, &authority, &authority, TESTPKI_GOOD, -60, 3600, STAPLE_GOOD, NULL},
		{"a delegate", &leaf, &authority, &delegate, TESTPKI_GOOD, -60, 3600, STAPLE_GOOD,
		 NULL},
		{"revoked", &leaf, &authority, &authority, TESTPKI_REVOKED, -60, 3600,
		 STAPLE_REVOKED, NULL},
		{"unknown", &leaf, &authority, &authority, TESTPKI_UNKNOWN, -60, 3600,
		 STAPLE_UNKNOWN, NULL},
		{"a clock ahead", &leaf, &authority, &authority, TESTPKI_GOOD, 200, 3600,
		 STAPLE_GOOD, NULL},
		{"begins later", &leaf, &authority, &authority, TESTPKI_GOOD, 400, 3600, 0,
		 "it begins in the future"},
		{"ended", &leaf, &authority, &authority, TESTPKI_GOOD, -600, -1, 0, "it has ended"},
		{"ends before it begins", &leaf, &authority, &authority, TESTPKI_GOOD, 100, 50, 0,
		 "it has ended"},
		{"another one", &sibling, &authority, &authority, TESTPKI_REVOKED, -60, 3600, 0,
		 "it is about another certificate"},
		{"another's signature", &leaf, &authority, &other, TESTPKI_REVOKED, -60, 3600, 0,
		 "its signature is not the issuer's: *"},
		{"another's delegate", &leaf, &authority, &stranger, TESTPKI_GOOD, -60, 3600, 0,
		 "its signature is not the issuer's: *"},
		{"signed by a leaf", &leaf, &authority, &sibling, TESTPKI_GOOD, -60, 3600, 0,
		 "its signature is not the issuer's: *"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct buf der = BUF_INIT;
		struct staple_answer a;
		struct err e = ERR_INIT;
		int rc;

		testpki_ocsp(&der, rows[i].about->cert, rows[i].issuer, rows[i].signer,
			     rows[i].answer, rows[i].from, rows[i].to);
		rc = staple_read(buf_str(&der), leaf.cert, authority.cert, &a, &e);
		if ((rc == 0) != !rows[i].why ||
		    (rows[i].why &&
		     strncmp(e.message, rows[i].why, strcspn(rows[i].why, "*")) != 0))
			fail_msg("%s: %s", rows[i].name, rc ? e.message : "taken");
		if (rc == 0 && (a.status != rows[i].status || a.until - a.from < 3000))
			fail_msg("%s: %d", rows[i].name, (int)a.status);
		assert_int_equal(a.refused, 0);
		assert_true((a.revoked_at > 0) == (rc == 0 && a.status == STAPLE_REVOKED));
		buf_deinit(&der);
	}
}

/* RFC 6960 section 4.2.1: answers that are none. */
static void test_refused(void **state)
{
	char der[] = {0x30, 0x03, 0x0a, 0x01, 0x00};
	static const struct {
		char code;
		const char *says;
	} rows[] = {{1, "malformedrequest"},
		    {2, "internalerror"},
		    {3, "trylater"},
		    {5, "sigrequired"},
		    {6, "unauthorized"}};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct staple_answer a;
		struct err e = ERR_INIT;

		der[4] = rows[i].code;
		assert_int_equal(staple_read((struct str){der, sizeof(der)}, leaf.cert,
					     authority.cert, &a, &e),
				 -1);
		assert_int_equal(a.refused, rows[i].code);
		assert_non_null(strstr(e.message, rows[i].says));
	}
}

/* Then the number of the certificate is all there is. */
static void test_without_the_issuer(void **state)
{
	struct buf der = BUF_INIT;

	(void)state;
	testpki_ocsp(&der, leaf.cert, &authority, &other, TESTPKI_GOOD, -60, 3600);
	assert_int_equal(staple_check(buf_str(&der), leaf.cert, NULL, NULL), 0);
	assert_int_equal(staple_check(buf_str(&der), sibling.cert, NULL, NULL), -1);
	buf_deinit(&der);
}

static void test_span(void **state)
{
	struct buf der = BUF_INIT;
	int64_t from, until, now = clock_wall_s();

	(void)state;
	testpki_ocsp(&der, leaf.cert, &authority, &authority, TESTPKI_GOOD, -60, 3600);
	assert_int_equal(staple_span(buf_str(&der), &from, &until, NULL), 0);
	assert_in_range(from, now - 70, now - 55);
	assert_in_range(until, now + 3590, now + 3605);
	buf_deinit(&der);
}

static void test_no_response(void **state)
{
	static const unsigned char try_later[] = {0x30, 0x03, 0x0a, 0x01, 0x03};
	static const unsigned char nothing[] = {0x30, 0x03, 0x0a, 0x01, 0x00};
	static char large[STAPLE_MAX + 1];
	struct buf der = BUF_INIT;
	const struct str rows[] = {
		{"", 0},
		{"junk", 4},
		{(const char *)try_later, sizeof(try_later)},
		{(const char *)nothing, sizeof(nothing)},
		{large, sizeof(large)},
	};
	struct err e = ERR_INIT;
	int64_t from, until;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		assert_int_equal(staple_span(rows[i], &from, &until, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_int_equal(staple_check(rows[i], leaf.cert, authority.cert, &e), -1);
	}
	testpki_ocsp(&der, leaf.cert, &authority, &authority, TESTPKI_GOOD, -60, 3600);
	for (size_t n = 0; n < der.len; n++)
		assert_int_equal(staple_span(str_sub(buf_str(&der), 0, n), &from, &until, &e), -1);
	assert_int_equal(buf_add(&der, "", 1, NULL), 0);
	assert_int_equal(staple_span(buf_str(&der), &from, &until, &e), -1);
	buf_deinit(&der);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check), cmocka_unit_test(test_without_the_issuer),
		cmocka_unit_test(test_read),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_span),  cmocka_unit_test(test_no_response),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
