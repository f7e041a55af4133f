/* Clients' certificates in header fields: Kong's two formats and RFC 9440. */
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/core/codec.h"
#include "common/core/compiler.h"
#include "common/pki/cert.h"
#include "data-plane/plugins/cert_header.h"
#include "data-plane/plugins/client_cert.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testpki.h"

static struct {
	struct testca root, leaf;
	struct buf base64[2];  /* leaf, root */
	struct buf folded;     /* leaf with blanks as a folded PEM has them */
	struct buf escaped[2]; /* PEM, percent-encoded */
	struct buf light;      /* PEM with only its line feeds and blanks escaped */
} pki;

static void escape(struct buf *out, struct str text, bool all)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (all || c <= ' ')
			assert_int_equal(buf_addf(out, NULL, "%%%02x", c), 0);
		else
			assert_int_equal(buf_add(out, &text.ptr[i], 1, NULL), 0);
	}
}

static int setup(void **state)
{
	X509 *certs[2];

	(void)state;
	testpki_make(&pki.root, NULL, &(struct testpki_options){.name = "root", .ca = true});
	testpki_make(&pki.leaf, &pki.root, &(struct testpki_options){.san = "DNS:a.example"});
	certs[0] = pki.leaf.cert;
	certs[1] = pki.root.cert;
	for (int i = 0; i < 2; i++) {
		struct buf der = BUF_INIT, pem = BUF_INIT;

		assert_int_equal(cert_to_der(&der, certs[i], NULL), 0);
		assert_int_equal(base64_encode(&pki.base64[i], buf_str(&der), NULL), 0);
		assert_int_equal(cert_to_pem(&pem, certs[i], NULL), 0);
		escape(&pki.escaped[i], buf_str(&pem), true);
		if (i == 0)
			escape(&pki.light, buf_str(&pem), false);
		buf_deinit(&der);
		buf_deinit(&pem);
	}
	for (size_t i = 0; i < pki.base64[0].len; i += 64)
		assert_int_equal(buf_addf(&pki.folded, NULL, "%s%.64s", i ? " \t" : "",
					  pki.base64[0].data + i),
				 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		buf_deinit(&pki.base64[i]);
		buf_deinit(&pki.escaped[i]);
	}
	buf_deinit(&pki.folded);
	buf_deinit(&pki.light);
	testca_deinit(&pki.root);
	testca_deinit(&pki.leaf);
	return 0;
}

/* In values, @ is the base64 of the leaf, ^ of the root, ~ the folded one, & and * the escaped PEM
 * of leaf and root, $ the lightly escaped one. */
struct header_row {
	enum cert_header_format format;
	const char *value, *chain; /* NULL: no such field */
	int want;		   /* certificates, 0: none; -1: refused */
};

static const struct header_row rows[] = {
	{CERT_HEADER_BASE64, "@", NULL, 1},
	{CERT_HEADER_BASE64, " @ ", NULL, 1},
	{CERT_HEADER_BASE64, "~", NULL, 1},
	{CERT_HEADER_BASE64, NULL, NULL, 0},
	{CERT_HEADER_BASE64, "", NULL, 0},
	{CERT_HEADER_BASE64, "  ", NULL, 0},
	{CERT_HEADER_BASE64, "@@", NULL, -1},
	{CERT_HEADER_BASE64, "@,@", NULL, -1},
	{CERT_HEADER_BASE64, ":@:", NULL, -1},
	{CERT_HEADER_BASE64, "&", NULL, -1},
	{CERT_HEADER_BASE64, "AAAA", NULL, -1},
	{CERT_HEADER_BASE64, "A", NULL, -1},
	{CERT_HEADER_BASE64, "-----BEGIN CERTIFICATE----- @ -----END CERTIFICATE-----", NULL, -1},
	{CERT_HEADER_URL, "&", NULL, 1},
	{CERT_HEADER_URL, "$", NULL, 1},
	{CERT_HEADER_URL, "&*", NULL, 2},
	{CERT_HEADER_URL, NULL, NULL, 0},
	{CERT_HEADER_URL, "", NULL, 0},
	{CERT_HEADER_URL, "@", NULL, -1},
	{CERT_HEADER_URL, "&%", NULL, -1},
	{CERT_HEADER_URL, "&%4", NULL, -1},
	{CERT_HEADER_URL, "&%zz", NULL, -1},
	{CERT_HEADER_URL, "x", NULL, -1},
	{CERT_HEADER_URL, "%00", NULL, -1},
	{CERT_HEADER_URL,
	 "-----BEGIN%20PRIVATE%20KEY-----%0AAAAA%0A-----END%20PRIVATE%20KEY-----%0A", NULL, -1},
	{CERT_HEADER_URL, "-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A",
	 NULL, -1},
	{CERT_HEADER_URL, "-----BEGIN%20CERTIFICATE-----%0A@", NULL, -1},
	{CERT_HEADER_URL, "&&&&&&&&&&", NULL, 10},
	{CERT_HEADER_URL, "&&&&&&&&&&&", NULL, -1},
	{CERT_HEADER_RFC9440, ":@:", NULL, 1},
	{CERT_HEADER_RFC9440, " :@: ", NULL, 1},
	{CERT_HEADER_RFC9440, ":@:", ":^:", 2},
	{CERT_HEADER_RFC9440, ":@:", ":^:, :^:", 3},
	{CERT_HEADER_RFC9440, ":@:", ":^:,:^:,:^:", 4},
	{CERT_HEADER_RFC9440, NULL, ":^:", 0},
	{CERT_HEADER_RFC9440, NULL, NULL, 0},
	{CERT_HEADER_RFC9440, "@", NULL, -1},
	{CERT_HEADER_RFC9440, ":@", NULL, -1},
	{CERT_HEADER_RFC9440, "@:", NULL, -1},
	{CERT_HEADER_RFC9440, ":", NULL, -1},
	{CERT_HEADER_RFC9440, "::", NULL, -1},
	{CERT_HEADER_RFC9440, ":@:;a=b", NULL, -1},
	{CERT_HEADER_RFC9440, ":@:, :@:", NULL, -1},
	{CERT_HEADER_RFC9440, ":~:", NULL, -1},
	{CERT_HEADER_RFC9440, "\"@\"", NULL, -1},
	{CERT_HEADER_RFC9440, ":@:", ":^:,", -1},
	{CERT_HEADER_RFC9440, ":@:", "^", -1},
	{CERT_HEADER_RFC9440, ":@:", ":AAAA:", -1},
};

static struct str expand(struct buf *out, const char *text)
{
	for (; *text; text++) {
		const struct buf *from = *text == '@'	? &pki.base64[0]
					 : *text == '^' ? &pki.base64[1]
					 : *text == '~' ? &pki.folded
					 : *text == '&' ? &pki.escaped[0]
					 : *text == '*' ? &pki.escaped[1]
					 : *text == '$' ? &pki.light
							: NULL;

		if (from)
			assert_int_equal(buf_add_str(out, buf_str(from), NULL), 0);
		else
			assert_int_equal(buf_add(out, text, 1, NULL), 0);
	}
	return buf_str(out);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct header_row *row = &rows[i];
		struct buf value = BUF_INIT, chain_value = BUF_INIT;
		struct http_field items[2];
		struct http_fields fields = {items, 0, 0};
		STACK_OF(X509) *chain = NULL;
		X509 *leaf = NULL;
		struct err e = ERR_INIT;
		int got;

		if (row->value)
			items[fields.count++] =
				(struct http_field){STR("client-cert"), expand(&value, row->value)};
		if (row->chain)
			items[fields.count++] = (struct http_field){
				STR("client-cert-chain"), expand(&chain_value, row->chain)};
		got = cert_header_read(&fields, STR("client-cert"), row->format, &leaf, &chain, &e);
		if (got == 0 && leaf)
			got = 1 + (chain ? sk_X509_num(chain) : 0);
		if (got != row->want)
			fail_msg("row %zu (%.40s): %d, %s", i, row->value ? row->value : "", got,
				 e.message);
		if (got < 0)
			assert_int_equal(e.kind, ERR_DENIED);
		if (leaf)
			assert_int_equal(X509_cmp(leaf, pki.leaf.cert), 0);
		assert_int_equal(ERR_peek_error(), 0);
		X509_free(leaf);
		sk_X509_pop_free(chain, X509_free);
		buf_deinit(&value);
		buf_deinit(&chain_value);
	}
}

/* Two of them: whose is the second? */
static void test_twice(void **state)
{
	struct http_field items[] = {{STR("client-cert"), buf_str(&pki.base64[0])},
				     {STR("client-cert"), buf_str(&pki.base64[0])}};
	struct http_fields fields = {items, 2, 0};
	STACK_OF(X509) *chain = NULL;
	X509 *leaf = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(cert_header_read(&fields, STR("client-cert"), CERT_HEADER_BASE64, &leaf,
					  &chain, &e),
			 -1);
	assert_int_equal(e.kind, ERR_DENIED);
	assert_null(leaf);
}

/* TLS-09: more than 64 KiB, in one certificate and in several. */
static void test_huge(void **state)
{
	struct testca big;
	struct buf der = BUF_INIT, value = BUF_INIT;
	struct http_field item = {STR("client-cert"), {0}};
	struct http_fields fields = {&item, 1, 0};
	STACK_OF(X509) *chain = NULL;
	X509 *leaf = NULL;
	struct err e = ERR_INIT;

	(void)state;
	testpki_make(&big, &pki.root, &(struct testpki_options){.padding = 70000});
	assert_int_equal(cert_to_der(&der, big.cert, NULL), 0);
	assert_int_equal(base64_encode(&value, buf_str(&der), NULL), 0);
	item.value = buf_str(&value);
	assert_int_equal(cert_header_read(&fields, STR("client-cert"), CERT_HEADER_BASE64, &leaf,
					  &chain, &e),
			 -1);
	assert_int_equal(e.kind, ERR_DENIED);
	buf_deinit(&der);
	buf_deinit(&value);
	testca_deinit(&big);
}

static void test_formats(void **state)
{
	static const char *const bad[] = {"", "base64", "BASE64_ENCODED", "rfc9440 ", "url"};
	enum cert_header_format f;

	(void)state;
	assert_int_equal(cert_header_format_parse(STR("base64_encoded"), &f), 0);
	assert_int_equal(f, CERT_HEADER_BASE64);
	assert_int_equal(cert_header_format_parse(STR("url_encoded"), &f), 0);
	assert_int_equal(f, CERT_HEADER_URL);
	assert_int_equal(cert_header_format_parse(STR("rfc9440"), &f), 0);
	assert_int_equal(f, CERT_HEADER_RFC9440);
	for (size_t i = 0; i < array_len(bad); i++)
		assert_int_equal(cert_header_format_parse(str_from(bad[i]), &f), -1);
}

static void read_two(void *arg)
{
	struct http_field item = {STR("client-cert"), {0}};
	struct http_fields fields = {&item, 1, 0};
	STACK_OF(X509) *chain = NULL;
	X509 *leaf = NULL;

	item.value = buf_str(arg);
	if (cert_header_read(&fields, STR("client-cert"), CERT_HEADER_URL, &leaf, &chain, NULL) ==
	    0)
		assert_non_null(leaf);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
}

static void test_out_of_memory(void **state)
{
	struct buf both = BUF_INIT;

	(void)state;
	expand(&both, "&*");
	assert_true(oom_each(read_two, &both) > 1);
	buf_deinit(&both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	      cmocka_unit_test(test_twice),
		cmocka_unit_test(test_huge),	      cmocka_unit_test(test_formats),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
