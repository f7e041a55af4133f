/* TLS-09 and TLS-10: which clients' certificates are good, whose they are, and how they are shown.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/core/compiler.h"
#include "common/pki/cert.h"
#include "data-plane/plugins/client_cert.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testpki.h"

enum { DEEP = 8 };

static struct {
	struct testca root, other, middle, deep[DEEP];
} pki;

static int setup(void **state)
{
	(void)state;
	testpki_make(&pki.root, NULL, &(struct testpki_options){.name = "root", .ca = true});
	testpki_make(&pki.other, NULL, &(struct testpki_options){.name = "other", .ca = true});
	testpki_make(&pki.middle, &pki.root,
		     &(struct testpki_options){.name = "middle", .ca = true});
	for (int i = 0; i < DEEP; i++) {
		char name[16];

		snprintf(name, sizeof(name), "deep %d", i);
		testpki_make(&pki.deep[i], i ? &pki.deep[i - 1] : &pki.root,
			     &(struct testpki_options){.name = name, .ca = true});
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	testca_deinit(&pki.root);
	testca_deinit(&pki.other);
	testca_deinit(&pki.middle);
	for (int i = 0; i < DEEP; i++)
		testca_deinit(&pki.deep[i]);
	return 0;
}

enum issuer { ROOT, OTHER, MIDDLE, SELF, DEEPEST, DEEP_ENOUGH };

struct verify_row {
	const char *name;
	enum issuer issuer;
	bool sends_middle;
	bool trusts_middle_only, trusts_other_only, trusts_none, partial;
	bool good;
	struct testpki_options leaf;
};

static const struct verify_row verify_rows[] = {
	{.name = "good", .good = true},
	{.name = "good with chain", .issuer = MIDDLE, .sends_middle = true, .good = true},
	{.name = "no usage named", .leaf = {.usage = ""}, .good = true},
	{.name = "anchor is no root, allowed",
	 .issuer = MIDDLE,
	 .trusts_middle_only = true,
	 .partial = true,
	 .good = true},
	{.name = "deep enough", .issuer = DEEP_ENOUGH, .good = true},
	{.name = "anchor is no root", .issuer = MIDDLE, .trusts_middle_only = true},
	{.name = "chain missing", .issuer = MIDDLE},
	{.name = "expired", .leaf = {.from_seconds = -7200, .to_seconds = -3600}},
	{.name = "not yet valid", .leaf = {.from_seconds = 3600, .to_seconds = 7200}},
	{.name = "wrong authority", .issuer = OTHER},
	{.name = "another authority is trusted", .trusts_other_only = true},
	{.name = "no authority is trusted", .trusts_none = true},
	{.name = "server's usage", .leaf = {.usage = "serverAuth"}},
	{.name = "signer's usage", .leaf = {.usage = "codeSigning"}},
	{.name = "self-signed", .issuer = SELF},
	{.name = "self-signed, partial chains allowed", .issuer = SELF, .partial = true},
	{.name = "chain too deep", .issuer = DEEPEST},
	{.name = "SHA-1", .leaf = {.sha1 = true}},
	{.name = "70,000 bytes", .leaf = {.padding = 70000}},
};

static const struct testca *issuer_of(enum issuer i)
{
	switch (i) {
	case ROOT:
		return &pki.root;
	case OTHER:
		return &pki.other;
	case MIDDLE:
		return &pki.middle;
	case DEEPEST:
		return &pki.deep[DEEP - 1];
	case DEEP_ENOUGH:
		return &pki.deep[CLIENT_CERT_DEPTH_MAX - 1];
	case SELF:
		break;
	}
	return NULL;
}

static STACK_OF(X509) * sent_by(const struct verify_row *row, X509 *leaf)
{
	STACK_OF(X509) *sent = sk_X509_new_null();

	assert_non_null(sent);
	assert_true(sk_X509_push(sent, leaf) > 0);
	if (row->sends_middle)
		assert_true(sk_X509_push(sent, pki.middle.cert) > 0);
	for (int i = 0; i < DEEP && (row->issuer == DEEPEST || row->issuer == DEEP_ENOUGH); i++)
		assert_true(sk_X509_push(sent, pki.deep[i].cert) > 0);
	return sent;
}

static void test_verify(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(verify_rows); i++) {
		const struct verify_row *row = &verify_rows[i];
		struct client_cert_trust trust = {sk_X509_new_null(), row->partial};
		STACK_OF(X509) *chain = NULL, *sent;
		struct testca leaf;
		struct err e = ERR_INIT;
		int rc;

		testpki_make(&leaf, issuer_of(row->issuer), &row->leaf);
		sent = sent_by(row, leaf.cert);
		if (!row->trusts_none)
			assert_true(sk_X509_push(trust.anchors,
						 row->trusts_middle_only  ? pki.middle.cert
						 : row->trusts_other_only ? pki.other.cert
									  : pki.root.cert) > 0);
		rc = client_cert_verify(leaf.cert, sent, &trust, &chain, &e);
		if ((rc == 0) != row->good)
			fail_msg("%s: %s", row->name, e.message);
		if (rc == 0) {
			assert_ptr_equal(sk_X509_value(chain, 0), leaf.cert);
		} else {
			assert_int_equal(e.kind, ERR_DENIED);
			assert_true(*e.message);
			assert_null(chain);
		}
		assert_int_equal(ERR_peek_error(), 0);
		sk_X509_pop_free(chain, X509_free);
		sk_X509_free(sent);
		sk_X509_free(trust.anchors);
		testca_deinit(&leaf);
	}
}

static void test_nobody_is_trusted(void **state)
{
	struct client_cert_trust trust = {NULL, true};
	struct testca leaf;
	struct err e = ERR_INIT;

	(void)state;
	testpki_make(&leaf, &pki.root, &(struct testpki_options){0});
	assert_int_equal(client_cert_verify(leaf.cert, NULL, &trust, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	testca_deinit(&leaf);
}

/* TLS-09: repeated certificates, and more of them than anybody needs. */
static void test_repeated(void **state)
{
	struct client_cert_trust trust = {sk_X509_new_null(), false};
	STACK_OF(X509) *sent = sk_X509_new_null();
	struct testca leaf;
	struct err e = ERR_INIT;

	(void)state;
	testpki_make(&leaf, &pki.root, &(struct testpki_options){0});
	assert_true(sk_X509_push(trust.anchors, pki.root.cert) > 0);
	for (int i = 0; i < CLIENT_CERT_CHAIN_MAX; i++)
		assert_true(sk_X509_push(sent, leaf.cert) > 0);
	assert_int_equal(client_cert_verify(leaf.cert, sent, &trust, NULL, &e), 0);
	assert_true(sk_X509_push(sent, leaf.cert) > 0);
	assert_int_equal(client_cert_verify(leaf.cert, sent, &trust, NULL, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	sk_X509_free(sent);
	sk_X509_free(trust.anchors);
	testca_deinit(&leaf);
}

struct names_row {
	const char *cn, *san;
	const char *want; /* joined with a blank */
};

static const struct names_row names_rows[] = {
	{"alice", NULL, "alice"},
	{"Alice Ltd", NULL, "Alice Ltd"},
	{"alice", "DNS:a.example", "a.example"},
	{"alice", "DNS:a.example,email:b@example.com,URI:urn:c", "a.example b@example.com urn:c"},
	{"alice", "IP:127.0.0.1", ""}, /* alternative names, and none that counts */
	{"", NULL, ""},
	{" alice", NULL, ""},
	{"alice ", NULL, ""},
	{"al\nice", NULL, ""},
	{"al\xc3\xafs", NULL, ""},
	{"alice", "URI:urn:a b", ""},
};

static void test_names(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	for (size_t i = 0; i < array_len(names_rows); i++) {
		const struct names_row *row = &names_rows[i];
		struct client_cert_names names;
		struct testca leaf;
		char got[256] = "";

		testpki_make(&leaf, &pki.root,
			     &(struct testpki_options){.name = row->cn, .san = row->san});
		assert_int_equal(client_cert_names(leaf.cert, &a, &names, NULL), 0);
		for (size_t n = 0; n < names.count; n++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", n ? " " : "",
				 names.items[n].ptr);
		assert_string_equal(got, row->want);
		testca_deinit(&leaf);
	}
	arena_deinit(&a);
}

/* TLS-21: a NUL ends no name. */
static void test_nul_in_name(void **state)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	struct client_cert_names got;
	struct testca leaf;
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	testpki_make(&leaf, &pki.root, &(struct testpki_options){0});
	assert_int_equal(ASN1_STRING_set(text, "alice\0.example", 14), 1);
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	assert_true(sk_GENERAL_NAME_push(names, name) > 0);
	assert_int_equal(X509_add1_ext_i2d(leaf.cert, NID_subject_alt_name, names, 0, 0), 1);
	assert_int_equal(client_cert_names(leaf.cert, &a, &got, NULL), 0);
	assert_int_equal(got.count, 0);
	GENERAL_NAMES_free(names);
	testca_deinit(&leaf);
	arena_deinit(&a);
}

static void test_texts(void **state)
{
	struct testca leaf;
	struct arena a;
	struct str pem, serial, digest;
	struct buf plain = BUF_INIT;
	size_t at = 0;

	(void)state;
	arena_init(&a, 0);
	testpki_make(&leaf, &pki.root, &(struct testpki_options){.name = "a,b\r\nX: y"});
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(leaf.cert), 0xabcdef), 1);
	assert_string_equal(client_cert_dn(X509_get_subject_name(leaf.cert), &a).ptr,
			    "CN=a\\,b\\0D\\0AX: y");
	assert_string_equal(client_cert_dn(X509_get_issuer_name(leaf.cert), &a).ptr, "CN=root");
	serial = client_cert_serial(leaf.cert, &a);
	assert_string_equal(serial.ptr, "ABCDEF");
	digest = client_cert_fingerprint(leaf.cert, &a);
	assert_int_equal(digest.len, 40);
	/* Decoded again it is the PEM. */
	pem = client_cert_escaped_pem(leaf.cert, &a);
	assert_int_equal(cert_to_pem(&plain, leaf.cert, NULL), 0);
	for (size_t i = 0; i < pem.len; i++, at++) {
		unsigned long value = (unsigned char)pem.ptr[i];

		if (value == '%') {
			const char digits[] = {pem.ptr[i + 1], pem.ptr[i + 2], '\0'};
			char *end;

			value = strtoul(digits, &end, 16);
			assert_ptr_equal(end, digits + 2);
			i += 2;
		}
		assert_int_equal((unsigned char)plain.data[at], value);
	}
	assert_int_equal(at, plain.len);
	assert_true(str_starts(pem, STR("-----BEGIN%20CERTIFICATE-----%0A")));
	buf_deinit(&plain);
	testca_deinit(&leaf);
	arena_deinit(&a);
}

static void read_all(void *arg)
{
	struct client_cert_names names;
	struct arena a;

	arena_init(&a, 0);
	(void)!client_cert_names(arg, &a, &names, NULL);
	(void)client_cert_escaped_pem(arg, &a);
	(void)client_cert_fingerprint(arg, &a);
	(void)client_cert_dn(X509_get_subject_name(arg), &a);
	arena_deinit(&a);
}

static void test_out_of_memory(void **state)
{
	struct testca leaf;

	(void)state;
	testpki_make(&leaf, &pki.root, &(struct testpki_options){.san = "DNS:a,DNS:b"});
	assert_true(oom_each(read_all, leaf.cert) > 3);
	testca_deinit(&leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify),	      cmocka_unit_test(test_nobody_is_trusted),
		cmocka_unit_test(test_repeated),      cmocka_unit_test(test_names),
		cmocka_unit_test(test_nul_in_name),   cmocka_unit_test(test_texts),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
