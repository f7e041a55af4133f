/* JWS against the key of RFC 7515 appendix A.3 and against OpenSSL's verification. */
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/core/codec.h"
#include "control-plane/acme/jws.h"

static const char key_d[] = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
static const char key_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
static const char key_y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

static EVP_PKEY *rfc_key(void)
{
	struct buf d = BUF_INIT, pub = BUF_INIT;
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM *params;
	EVP_PKEY *key = NULL;
	BIGNUM *n;

	assert_int_equal(base64url_decode(&d, str_from(key_d), NULL), 0);
	assert_int_equal(buf_add(&pub, "\x04", 1, NULL), 0);
	assert_int_equal(base64url_decode(&pub, str_from(key_x), NULL), 0);
	assert_int_equal(base64url_decode(&pub, str_from(key_y), NULL), 0);
	n = BN_bin2bn((unsigned char *)d.data, (int)d.len, NULL);
	assert_true(
		OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0));
	assert_true(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, n));
	assert_true(
		OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, pub.data, pub.len));
	params = OSSL_PARAM_BLD_to_param(bld);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	buf_deinit(&d);
	buf_deinit(&pub);
	return key;
}

static void test_jwk_and_thumbprint(void **state)
{
	EVP_PKEY *key = rfc_key();
	struct buf jwk = BUF_INIT;
	char thumbprint[JWS_THUMBPRINT_SIZE];

	(void)state;
	assert_int_equal(jws_jwk(&jwk, key, NULL), 0);
	assert_string_equal(jwk.data, "{\"crv\":\"P-256\",\"kty\":\"EC\","
				      "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
				      "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
	assert_int_equal(jws_thumbprint(thumbprint, key, NULL), 0);
	/* Computed with another implementation (Python's hashlib over the RFC 7638 form). */
	assert_string_equal(thumbprint, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
	buf_deinit(&jwk);
	EVP_PKEY_free(key);
}

/* The DER of a raw signature, or fails the test. */
static int raw_to_der(const struct buf *raw, unsigned char **der)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	int len;

	assert_int_equal(raw->len, 64);
	assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn((unsigned char *)raw->data, 32, NULL),
					BN_bin2bn((unsigned char *)raw->data + 32, 32, NULL)),
			 1);
	len = i2d_ECDSA_SIG(sig, der);
	ECDSA_SIG_free(sig);
	return len;
}

static bool verifies(EVP_PKEY *key, const json_t *jws)
{
	struct buf input = BUF_INIT, raw = BUF_INIT;
	unsigned char *der = NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int len, rc;

	assert_int_equal(buf_addf(&input, NULL, "%s.%s",
				  json_string_value(json_object_get(jws, "protected")),
				  json_string_value(json_object_get(jws, "payload"))),
			 0);
	assert_int_equal(
		base64url_decode(
			&raw, str_from(json_string_value(json_object_get(jws, "signature"))), NULL),
		0);
	len = raw_to_der(&raw, &der);
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	rc = EVP_DigestVerify(ctx, der, (size_t)len, (unsigned char *)input.data, input.len);
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	buf_deinit(&input);
	buf_deinit(&raw);
	return rc == 1;
}

static json_t *signed_with(EVP_PKEY *key, const struct jws_header *h, struct str payload)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	json_t *jws;

	if (jws_sign(&out, h, key, payload, &e) != 0)
		fail_msg("%s", e.message);
	jws = json_loadb(out.data, out.len, 0, NULL);
	assert_non_null(jws);
	assert_int_equal(json_object_size(jws), 3);
	buf_deinit(&out);
	return jws;
}

static json_t *header_of(const json_t *jws)
{
	struct buf text = BUF_INIT;
	json_t *o;

	assert_int_equal(
		base64url_decode(&text,
				 str_from(json_string_value(json_object_get(jws, "protected"))),
				 NULL),
		0);
	o = json_loadb(text.data, text.len, 0, NULL);
	assert_non_null(o);
	buf_deinit(&text);
	return o;
}

struct sign_row {
	const char *name;
	struct jws_header h;
	struct str payload;
	const char *payload_base64;
};

static const struct sign_row signs[] = {
	{"kid", {"https://ca/x", "n1", "https://ca/acct/1"}, {"{}", 2}, "e30"},
	{"jwk", {"https://ca/new", "n2", NULL}, {"{\"a\":1}", 7}, "eyJhIjoxfQ"},
	{"POST-as-GET", {"https://ca/x", "n3", "https://ca/acct/1"}, {NULL, 0}, ""},
	{"inner JWS", {"https://ca/x", NULL, NULL}, {"{}", 2}, "e30"},
	{"quotes", {"https://ca/\"},{\"x", "n\"4", "https://ca/\\"}, {"", 0}, ""},
};

static void test_sign(void **state)
{
	EVP_PKEY *key = rfc_key();

	(void)state;
	for (size_t i = 0; i < array_len(signs); i++) {
		const struct sign_row *r = &signs[i];
		json_t *jws = signed_with(key, &r->h, r->payload);
		json_t *h = header_of(jws);
		const char *nonce = json_string_value(json_object_get(h, "nonce"));
		const char *kid = json_string_value(json_object_get(h, "kid"));

		if (!verifies(key, jws))
			fail_msg("%s: the signature does not verify", r->name);
		assert_string_equal(json_string_value(json_object_get(jws, "payload")),
				    r->payload_base64);
		assert_string_equal(json_string_value(json_object_get(h, "alg")), "ES256");
		assert_string_equal(json_string_value(json_object_get(h, "url")), r->h.url);
		assert_true(str_eq(str_from(nonce), str_from(r->h.nonce)));
		assert_true(str_eq(str_from(kid), str_from(r->h.kid)));
		/* Exactly one of the two (RFC 8555 section 6.2). */
		assert_true(json_is_object(json_object_get(h, "jwk")) == (r->h.kid == NULL));
		json_decref(h);
		json_decref(jws);
	}
	EVP_PKEY_free(key);
}

/* r and s shorter than 32 bytes must be padded: many signatures, some have a leading zero. */
static void test_padding(void **state)
{
	EVP_PKEY *key = rfc_key();
	const struct jws_header h = {"https://ca/x", "n", "https://ca/acct/1"};

	(void)state;
	for (int i = 0; i < 300; i++) {
		json_t *jws = signed_with(key, &h, STR("{}"));

		assert_int_equal(json_string_length(json_object_get(jws, "signature")), 86);
		json_decref(jws);
	}
	EVP_PKEY_free(key);
}

struct wrong_key {
	const char *type, *group;
};
static const struct wrong_key wrong_keys[] = {
	{"EC", "secp256k1"}, {"EC", "P-521"}, {"ED25519", NULL}, {"X25519", NULL}, {"RSA", NULL},
};

static void test_wrong_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(wrong_keys); i++) {
		const struct wrong_key *w = &wrong_keys[i];
		EVP_PKEY *key = w->group	    ? EVP_EC_gen(w->group)
				: w->type[0] == 'R' ? EVP_RSA_gen(1024)
						    : EVP_PKEY_Q_keygen(NULL, NULL, w->type);
		const struct jws_header h = {"https://ca/x", "n", NULL};
		char thumbprint[JWS_THUMBPRINT_SIZE];
		struct buf out = BUF_INIT;
		struct err e = ERR_INIT;

		assert_non_null(key);
		assert_int_equal(jws_sign(&out, &h, key, STR("{}"), &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		assert_int_equal(jws_thumbprint(thumbprint, key, &e), -1);
		assert_int_equal(out.len, 0);
		buf_deinit(&out);
		EVP_PKEY_free(key);
	}
}

/* The other algorithms: the signature verifies with the key that the header shows. */
static void test_other_algorithms(void **state)
{
	static const char *const algs[] = {"ES384", "RS256"};

	(void)state;
	for (size_t i = 0; i < array_len(algs); i++) {
		EVP_PKEY *key = i == 0 ? EVP_EC_gen("P-384") : EVP_RSA_gen(2048);
		const struct jws_header h = {"https://ca/x", "n", NULL};
		struct buf out = BUF_INIT, header = BUF_INIT;
		json_t *jws, *o;
		struct str text;

		assert_int_equal(jws_sign(&out, &h, key, STR("{}"), NULL), 0);
		jws = json_loadb(out.data, out.len, 0, NULL);
		text = str_from(json_string_value(json_object_get(jws, "protected")));
		assert_int_equal(base64url_decode(&header, text, NULL), 0);
		o = json_loadb(header.data, header.len, 0, NULL);
		assert_string_equal(json_string_value(json_object_get(o, "alg")), algs[i]);
		assert_string_equal(
			json_string_value(json_object_get(json_object_get(o, "jwk"), "kty")),
			i == 0 ? "EC" : "RSA");
		assert_int_equal(json_string_length(json_object_get(jws, "signature")),
				 i == 0 ? 128 : 342);
		json_decref(o);
		json_decref(jws);
		buf_deinit(&out);
		buf_deinit(&header);
		EVP_PKEY_free(key);
	}
}

static void test_bad_utf8_is_an_error(void **state)
{
	EVP_PKEY *key = rfc_key();
	const struct jws_header h = {"https://ca/\xff", "n", "https://ca/acct/1"};
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(jws_sign(&out, &h, key, STR("{}"), &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	buf_deinit(&out);
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jwk_and_thumbprint),
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_wrong_keys),
		cmocka_unit_test(test_other_algorithms),
		cmocka_unit_test(test_bad_utf8_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
