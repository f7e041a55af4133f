/* TLS-09: revoked by a list or by a responder; and the answers that say nothing. */
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "common/core/compiler.h"
#include "data-plane/plugins/revocation_source.h"
#include "tests/unit/lib/testpki.h"

static struct {
	struct testca root, other, leaf, sibling;
	struct testca responder, cheat, stranger; /* charged; not charged; charged by another */
} pki;

static int setup(void **state)
{
	(void)state;
	testpki_make(&pki.root, NULL, &(struct testpki_options){.name = "root", .ca = true});
	testpki_make(&pki.other, NULL, &(struct testpki_options){.name = "other", .ca = true});
	testpki_make(&pki.leaf, &pki.root, &(struct testpki_options){0});
	testpki_make(&pki.sibling, &pki.root, &(struct testpki_options){0});
	testpki_make(&pki.responder, &pki.root,
		     &(struct testpki_options){.name = "responder", .usage = "OCSPSigning"});
	testpki_make(&pki.cheat, &pki.root, &(struct testpki_options){.name = "cheat"});
	testpki_make(&pki.stranger, &pki.other,
		     &(struct testpki_options){.name = "stranger", .usage = "OCSPSigning"});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testca_deinit(&pki.root);
	testca_deinit(&pki.other);
	testca_deinit(&pki.leaf);
	testca_deinit(&pki.sibling);
	testca_deinit(&pki.responder);
	testca_deinit(&pki.cheat);
	testca_deinit(&pki.stranger);
	return 0;
}

struct ocsp_row {
	const char *name;
	const struct testca *about, *signer;
	enum testpki_answer answer;
	long from, to;
	enum revocation_status want;
};

static const struct ocsp_row ocsp_rows[] = {
	{"good", &pki.leaf, &pki.root, TESTPKI_GOOD, -60, 600, REVOCATION_GOOD},
	{"good by one who is charged", &pki.leaf, &pki.responder, TESTPKI_GOOD, -60, 600,
	 REVOCATION_GOOD},
	{"revoked", &pki.leaf, &pki.root, TESTPKI_REVOKED, -60, 600, REVOCATION_REVOKED},
	{"revoked by one who is charged", &pki.leaf, &pki.responder, TESTPKI_REVOKED, -60, 600,
	 REVOCATION_REVOKED},
	{"not known", &pki.leaf, &pki.root, TESTPKI_UNKNOWN, -60, 600, REVOCATION_UNKNOWN},
	{"of another client", &pki.sibling, &pki.root, TESTPKI_GOOD, -60, 600, REVOCATION_UNKNOWN},
	{"signed by a client", &pki.leaf, &pki.cheat, TESTPKI_GOOD, -60, 600, REVOCATION_UNKNOWN},
	{"signed by itself", &pki.leaf, &pki.leaf, TESTPKI_GOOD, -60, 600, REVOCATION_UNKNOWN},
	{"signed by another's", &pki.leaf, &pki.stranger, TESTPKI_GOOD, -60, 600,
	 REVOCATION_UNKNOWN},
	{"signed by another", &pki.leaf, &pki.other, TESTPKI_GOOD, -60, 600, REVOCATION_UNKNOWN},
	{"out of date", &pki.leaf, &pki.root, TESTPKI_GOOD, -7200, -3600, REVOCATION_UNKNOWN},
	{"not yet", &pki.leaf, &pki.root, TESTPKI_GOOD, 3600, 7200, REVOCATION_UNKNOWN},
};

static void test_ocsp(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(ocsp_rows); i++) {
		const struct ocsp_row *row = &ocsp_rows[i];
		struct buf der = BUF_INIT;
		struct err e = ERR_INIT;
		int64_t until = 0, now = clock_wall_s();
		enum revocation_status got;

		testpki_ocsp(&der, row->about->cert, &pki.root, row->signer, row->answer, row->from,
			     row->to);
		got = revocation_ocsp_read(buf_str(&der), pki.leaf.cert, pki.root.cert, &until, &e);
		if (got != row->want)
			fail_msg("%s: %d, %s", row->name, got, e.message);
		if (got == REVOCATION_UNKNOWN)
			assert_true(*e.message);
		else
			assert_in_range(until, now + row->to - 5, now + row->to + 5);
		assert_int_equal(ERR_peek_error(), 0);
		/* Cut anywhere it says nothing. */
		for (size_t n = 0; n < der.len; n += 7)
			assert_int_equal(revocation_ocsp_read((struct str){der.data, n},
							      pki.leaf.cert, pki.root.cert, &until,
							      NULL),
					 REVOCATION_UNKNOWN);
		buf_deinit(&der);
	}
}

static void test_no_ocsp(void **state)
{
	static const unsigned char try_later[] = {0x30, 3, 0x0a, 1, 3};
	static const struct str bad[] = {{"", 0}, {"x", 1}, {"<html>", 6}, {"\x30\x80", 2}};
	struct err e = ERR_INIT;
	int64_t until = 0;

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++)
		assert_int_equal(
			revocation_ocsp_read(bad[i], pki.leaf.cert, pki.root.cert, &until, &e),
			REVOCATION_UNKNOWN);
	assert_int_equal(
		revocation_ocsp_read((struct str){(const char *)try_later, sizeof(try_later)},
				     pki.leaf.cert, pki.root.cert, &until, &e),
		REVOCATION_UNKNOWN);
	assert_int_equal(e.kind, ERR_UNAVAILABLE);
}

struct crl_row {
	const char *name;
	const struct testca *issuer, *revoked;
	long from, to;
	enum revocation_status want;
};

static const struct crl_row crl_rows[] = {
	{"empty", &pki.root, NULL, -60, 600, REVOCATION_GOOD},
	{"another is revoked", &pki.root, &pki.sibling, -60, 600, REVOCATION_GOOD},
	{"revoked", &pki.root, &pki.leaf, -60, 600, REVOCATION_REVOKED},
	{"another's list", &pki.other, NULL, -60, 600, REVOCATION_UNKNOWN},
	{"a client's list", &pki.sibling, NULL, -60, 600, REVOCATION_UNKNOWN},
	{"out of date", &pki.root, NULL, -7200, -3600, REVOCATION_UNKNOWN},
	{"not yet", &pki.root, NULL, 3600, 7200, REVOCATION_UNKNOWN},
};

static void test_crl(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(crl_rows); i++) {
		const struct crl_row *row = &crl_rows[i];
		struct buf der = BUF_INIT;
		struct err e = ERR_INIT;
		X509_CRL *crl = NULL;
		int64_t now = clock_wall_s();
		enum revocation_status got;

		testpki_crl(&der, row->issuer, row->revoked ? row->revoked->cert : NULL, row->from,
			    row->to);
		assert_int_equal(revocation_crl_parse(&crl, buf_str(&der), &e), 0);
		assert_in_range(revocation_crl_until(crl), now + row->to - 5, now + row->to + 5);
		got = revocation_crl_read(crl, pki.leaf.cert, pki.root.cert, &e);
		if (got != row->want)
			fail_msg("%s: %d, %s", row->name, got, e.message);
		assert_int_equal(ERR_peek_error(), 0);
		X509_CRL_free(crl);
		buf_deinit(&der);
	}
}

static void test_forged_crl(void **state)
{
	struct testca forger;
	struct buf der = BUF_INIT;
	X509_CRL *crl = NULL;

	(void)state;
	/* The name is right and the key is not. */
	testpki_make(&forger, NULL, &(struct testpki_options){.name = "root", .ca = true});
	testpki_crl(&der, &forger, NULL, -60, 600);
	assert_int_equal(revocation_crl_parse(&crl, buf_str(&der), NULL), 0);
	assert_int_equal(revocation_crl_read(crl, pki.leaf.cert, pki.root.cert, NULL),
			 REVOCATION_UNKNOWN);
	X509_CRL_free(crl);
	buf_deinit(&der);
	testca_deinit(&forger);
}

static void test_no_crl(void **state)
{
	static const struct str bad[] = {{"", 0}, {"x", 1}, {"-----BEGIN X509 CRL-----\n", 25}};
	X509_CRL *crl = NULL;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < array_len(bad); i++)
		assert_int_equal(revocation_crl_parse(&crl, bad[i], &e), -1);
	assert_null(crl);
}

struct uri_row {
	const char *uri, *want;
};

static const struct uri_row uri_rows[] = {
	{"http://ca.example/x", "http://ca.example/x"},
	{"HTTPS://ca.example/x", "HTTPS://ca.example/x"},
	{NULL, NULL},
	{"ldap://ca.example/x", NULL},
	{"file:///etc/passwd", NULL},
	{"http:", NULL},
};

static void test_uris(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(uri_rows); i++) {
		const struct uri_row *row = &uri_rows[i];
		struct testca leaf;
		char *crl = NULL;

		testpki_make(&leaf, &pki.root, &(struct testpki_options){.crl = row->uri});
		assert_int_equal(revocation_crl_uri(leaf.cert, &crl, NULL), 0);
		if (row->want) {
			assert_string_equal(crl, row->want);
		} else {
			assert_null(crl);
		}
		free(crl);
		testca_deinit(&leaf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ocsp),   cmocka_unit_test(test_no_ocsp),
		cmocka_unit_test(test_crl),    cmocka_unit_test(test_forged_crl),
		cmocka_unit_test(test_no_crl), cmocka_unit_test(test_uris),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
