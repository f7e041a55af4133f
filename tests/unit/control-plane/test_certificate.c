/* certificates: pairs, alternatives and the snis shorthand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "control-plane/model/entity.h"
#include "tests/unit/lib/testpki.h"

struct pair {
	struct buf cert, key;
};

/* Two ECDSA pairs, two RSA pairs; a chain in the wrong order. */
static struct pair ec1, ec2, rsa1;

static void make(struct pair *p, enum key_type type)
{
	struct cert_make m = {.common_name = "test", .not_before = 1, .not_after = 2};
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	struct err e = ERR_INIT;

	/* Expired long ago: that is accepted (kong-admin-api.md 2.1). */
	m.not_before = 1500000000;
	m.not_after = 1500086400;
	if (key_generate(&key, type, &e) < 0 || cert_make(&cert, &m, key, NULL, NULL, &e) < 0 ||
	    cert_to_pem(&p->cert, cert, &e) < 0 || key_to_pem(&p->key, key, &e) < 0)
		fail_msg("%s", e.message);
	EVP_PKEY_free(key);
	X509_free(cert);
}

static int setup(void **state)
{
	(void)state;
	make(&ec1, KEY_EC_P256);
	make(&ec2, KEY_EC_P256);
	make(&rsa1, KEY_RSA_2048);
	return 0;
}

static int teardown(void **state)
{
	struct pair *all[] = {&ec1, &ec2, &rsa1};

	(void)state;
	for (size_t i = 0; i < array_len(all); i++) {
		buf_deinit(&all[i]->cert);
		buf_deinit(&all[i]->key);
	}
	return 0;
}

static const char mismatch[] = "schema violation (certificate does not match key)";

static const struct {
	const char *name;
	const struct pair *cert, *key, *cert_alt, *key_alt;
	const char *message; /* NULL: fine; ends with *: only the beginning */
} pairs[] = {
	{"pair", &ec1, &ec1, NULL, NULL, NULL},
	{"rsa pair", &rsa1, &rsa1, NULL, NULL, NULL},
	{"both", &ec1, &ec1, &rsa1, &rsa1, NULL},
	{"other key", &ec1, &ec2, NULL, NULL, mismatch},
	{"other type of key", &ec1, &rsa1, NULL, NULL, mismatch},
	{"no key_alt", &ec1, &ec1, &rsa1, NULL,
	 "schema violation (all or none of these fields must be set: 'cert_alt', 'key_alt')"},
	{"no cert_alt", &ec1, &ec1, NULL, &rsa1,
	 "schema violation (all or none of these fields must be set: 'cert_alt', 'key_alt')"},
	{"alternative of other key", &ec1, &ec1, &rsa1, &ec1,
	 "schema violation (alternative certificate does not match key)"},
	{"same type", &ec1, &ec1, &ec2, &ec2,
	 "schema violation (certificate and alternative certificate need to have different type "
	 "(e.g. RSA and ECDSA), the provided certificates were both of the same type)"},
	{"both wrong", &ec1, &ec2, &rsa1, &ec1,
	 "2 schema violations (certificate does not match key; alternative certificate does not "
	 "match key)"},
};

static void check_message(const char *name, const struct entity *t, const json_t *input,
			  const char *want)
{
	struct violations v;
	json_t *row, *body;
	const char *text;
	size_t n = want ? strlen(want) : 0;
	bool same = true;

	violations_init(&v);
	row = entity_create(t, input, 1000000, &v);
	body = violations_body(&v);
	text = json_string_value(json_object_get(body, "message"));
	if (!row != !!want)
		fail_msg("%s: %s", name, text);
	if (want && want[n - 1] == '*')
		same = strncmp(text, want, n - 1) == 0;
	else if (want)
		same = strcmp(text, want) == 0;
	if (!same)
		fail_msg("%s: %s", name, text);
	json_decref(row);
	json_decref(body);
	violations_deinit(&v);
}

static json_t *pem(const struct buf *b)
{
	return json_stringn(b->data, b->len);
}

static void test_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(pairs); i++) {
		json_t *input = json_pack("{s:o, s:o}", "cert", pem(&pairs[i].cert->cert), "key",
					  pem(&pairs[i].key->key));

		if (pairs[i].cert_alt)
			json_object_set_new(input, "cert_alt", pem(&pairs[i].cert_alt->cert));
		if (pairs[i].key_alt)
			json_object_set_new(input, "key_alt", pem(&pairs[i].key_alt->key));
		check_message(pairs[i].name, &entity_certificates, input, pairs[i].message);
		json_decref(input);
	}
}

static void test_bad_pem(void **state)
{
	static const struct {
		const char *cert, *key, *message;
	} rows[] = {
		{"garbage", NULL, "schema violation (cert: invalid certificate: *"},
		{NULL, "garbage", "schema violation (key: invalid key: *"},
		{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", NULL,
		 "schema violation (cert: invalid certificate: *"},
		{"garbage", "garbage", "2 schema violations (cert: invalid certificate: *"},
		{"", NULL, "schema violation (cert: length must be at least 1)"},
		{NULL,
		 "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE "
		 "KEY-----\n",
		 "schema violation (key: invalid key: *"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input = json_object();

		json_object_set_new(input, "cert",
				    rows[i].cert ? json_string(rows[i].cert) : pem(&ec1.cert));
		json_object_set_new(input, "key",
				    rows[i].key ? json_string(rows[i].key) : pem(&ec1.key));
		check_message(rows[i].message, &entity_certificates, input, rows[i].message);
		json_decref(input);
	}
}

/* The leaf is fine and so Kong would take it, but a data plane could not serve the chain. */
static void test_bad_chain(void **state)
{
	struct buf chain = BUF_INIT;
	json_t *input;

	(void)state;
	assert_int_equal(buf_add_str(&chain, buf_str(&ec1.cert), NULL), 0);
	assert_int_equal(buf_add_str(&chain, buf_str(&ec2.cert), NULL), 0);
	input = json_pack("{s:o, s:o}", "cert", pem(&chain), "key", pem(&ec1.key));
	check_message("chain", &entity_certificates, input, "schema violation (cert: *");
	json_decref(input);
	buf_deinit(&chain);
}

static void test_snis(void **state)
{
	static const struct {
		const char *snis, *message;
	} rows[] = {
		{"[]", NULL},
		{"null", NULL},
		{"[\"a.com\",\"*.a.com\"]", NULL},
		{"[\"a.com\",\"b.com\",\"a.com\"]", "schema violation (snis: a.com is duplicated)"},
		{"[\"a.com\",\"A.com\"]", "schema violation (snis: A.com is duplicated)"},
		{"\"a.com\"", "schema violation (snis: expected an array)"},
		{"[\"a.com\",\"1.2.3.4\"]", "schema violation (snis.2: must not be an IP)"},
		{"[\"a.com\",7]", "schema violation (snis.2: expected a string)"},
		{"[null]", "schema violation (snis.1: required field missing)"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input =
			json_pack("{s:o, s:o, s:o}", "cert", pem(&ec1.cert), "key", pem(&ec1.key),
				  "snis", json_loads(rows[i].snis, JSON_DECODE_ANY, NULL));

		check_message(rows[i].snis, &entity_certificates, input, rows[i].message);
		json_decref(input);
	}
}

/* PEM comes back byte for byte; a PATCH of one half of a pair is looked at with the other half. */
static void test_patch(void **state)
{
	json_t *old =
		json_pack("{s:s, s:i, s:o, s:o, s:[s], s:i}", "id",
			  "5f4f2a0e-0000-4000-8000-00000000000a", "created_at", 5, "cert",
			  pem(&ec1.cert), "key", pem(&ec1.key), "snis", "a.com", "version", 1);
	json_t *half = json_pack("{s:o}", "cert", pem(&ec2.cert));
	json_t *both = json_pack("{s:o, s:o}", "cert", pem(&ec2.cert), "key", pem(&ec2.key));
	struct violations v;
	json_t *row;

	(void)state;
	violations_init(&v);
	assert_null(entity_merge(&entity_certificates, old, half, 1000000, &v));
	violations_deinit(&v);
	row = entity_merge(&entity_certificates, old, both, 1000000, &v);
	assert_non_null(row);
	assert_string_equal(json_string_value(json_object_get(row, "cert")), ec2.cert.data);
	assert_int_equal(json_array_size(json_object_get(row, "snis")), 1);
	json_decref(row);
	json_decref(old);
	json_decref(half);
	json_decref(both);
}

/* --- OCSP responses --- */

static struct {
	struct testca authority, leaf;
	struct buf alone, chain, key;	       /* PEM */
	struct buf good, revoked, ended, junk; /* base64 */
} ocsp;

static void make_response(struct buf *out, enum testpki_answer answer, long to)
{
	struct buf der = BUF_INIT;

	testpki_ocsp(&der, ocsp.leaf.cert, &ocsp.authority, &ocsp.authority, answer, -1800, to);
	assert_int_equal(base64_encode(out, buf_str(&der), NULL), 0);
	buf_deinit(&der);
}

static void ocsp_make(void)
{
	testpki_make(&ocsp.authority, NULL,
		     &(struct testpki_options){.name = "authority", .ca = true});
	testpki_make(&ocsp.leaf, &ocsp.authority, &(struct testpki_options){.name = "leaf"});
	assert_int_equal(cert_to_pem(&ocsp.alone, ocsp.leaf.cert, NULL), 0);
	assert_int_equal(buf_add_str(&ocsp.chain, buf_str(&ocsp.alone), NULL), 0);
	assert_int_equal(cert_to_pem(&ocsp.chain, ocsp.authority.cert, NULL), 0);
	assert_int_equal(key_to_pem(&ocsp.key, ocsp.leaf.key, NULL), 0);
	make_response(&ocsp.good, TESTPKI_GOOD, 3600);
	make_response(&ocsp.revoked, TESTPKI_REVOKED, 3600);
	make_response(&ocsp.ended, TESTPKI_GOOD, -600);
	assert_int_equal(base64_encode(&ocsp.junk, STR("no response"), NULL), 0);
}

static void ocsp_free(void)
{
	struct buf *all[] = {&ocsp.alone,   &ocsp.chain, &ocsp.key, &ocsp.good,
			     &ocsp.revoked, &ocsp.ended, &ocsp.junk};

	for (size_t i = 0; i < array_len(all); i++)
		buf_deinit(all[i]);
	testca_deinit(&ocsp.authority);
	testca_deinit(&ocsp.leaf);
}

static void test_ocsp_responses(void **state)
{
	const struct {
		const char *name, *field;
		const struct buf *cert, *key, *response;
		const char *message;
	} rows[] = {
		{"good", "ocsp_response", &ocsp.chain, &ocsp.key, &ocsp.good, NULL},
		{"issuer not known", "ocsp_response", &ocsp.alone, &ocsp.key, &ocsp.good, NULL},
		/* It was right once, and other fields may be patched still. */
		{"ended", "ocsp_response", &ocsp.chain, &ocsp.key, &ocsp.ended, NULL},
		{"revoked", "ocsp_response", &ocsp.chain, &ocsp.key, &ocsp.revoked,
		 "schema violation (ocsp_response: it says \"revoked\" of the certificate)"},
		{"another certificate", "ocsp_response", &ec1.cert, &ec1.key, &ocsp.good,
		 "schema violation (ocsp_response: it is about another certificate)"},
		{"junk", "ocsp_response", &ocsp.chain, &ocsp.key, &ocsp.junk,
		 "schema violation (ocsp_response: not the DER of an OCSP response)"},
		{"not base64", "ocsp_response", &ocsp.chain, &ocsp.key, &ocsp.chain,
		 "schema violation (ocsp_response: must be base64 of the DER of an OCSP response, "
		 "at most 16384 bytes)"},
		{"of none", "ocsp_response_alt", &ocsp.chain, &ocsp.key, &ocsp.good,
		 "schema violation (ocsp_response_alt: there is no cert_alt)"},
	};

	(void)state;
	ocsp_make();
	for (size_t i = 0; i < array_len(rows); i++) {
		json_t *input = json_pack("{s:o, s:o, s:o}", "cert", pem(rows[i].cert), "key",
					  pem(rows[i].key), rows[i].field, pem(rows[i].response));

		check_message(rows[i].name, &entity_certificates, input, rows[i].message);
		json_decref(input);
	}
	ocsp_free();
}

/* It goes with the certificate that it is about. */
static void test_ocsp_response_of_a_patch(void **state)
{
	json_t *old, *patches[2], *row;

	(void)state;
	ocsp_make();
	old = json_pack("{s:s, s:i, s:o, s:o, s:o}", "id", "5f4f2a0e-0000-4000-8000-00000000000a",
			"created_at", 5, "cert", pem(&ocsp.chain), "key", pem(&ocsp.key),
			"ocsp_response", pem(&ocsp.good));
	patches[0] = json_pack("{s:o, s:o}", "cert", pem(&ocsp.chain), "key", pem(&ocsp.key));
	patches[1] = json_pack("{s:o, s:o}", "cert", pem(&ec1.cert), "key", pem(&ec1.key));
	for (int i = 0; i < 2; i++) {
		struct violations v;

		violations_init(&v);
		row = entity_merge(&entity_certificates, old, patches[i], 1000000, &v);
		assert_non_null(row);
		assert_int_equal(json_is_string(json_object_get(row, "ocsp_response")), i == 0);
		violations_deinit(&v);
		json_decref(row);
		json_decref(patches[i]);
	}
	json_decref(old);
	ocsp_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_bad_pem),
		cmocka_unit_test(test_bad_chain),
		cmocka_unit_test(test_snis),
		cmocka_unit_test(test_patch),
		cmocka_unit_test(test_ocsp_responses),
		cmocka_unit_test(test_ocsp_response_of_a_patch),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
