/* ES256, ES384 and RS256 on OpenSSL; the header is written by jansson, so that no URL or nonce can
 * break out of it.
 */
#include "control-plane/acme/jws.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>

#include "common/core/codec.h"

enum { COORDINATE_MAX = 48, SIGNATURE_MAX = 1024, JWS_LIMIT = 256 << 10 };

/* What a key signs with (RFC 7518 section 3.1). */
struct algorithm {
	const char *alg;
	const char *group; /* OpenSSL's name of the curve; NULL: RSA */
	const char *crv;
	size_t bytes; /* of a coordinate */
	const EVP_MD *(*digest)(void);
};
static const struct algorithm algorithms[] = {
	{"ES256", "prime256v1", "P-256", 32, EVP_sha256},
	{"ES384", "secp384r1", "P-384", 48, EVP_sha384},
	{"RS256", NULL, NULL, 0, EVP_sha256},
};

/* NULL: none of them. */
static const struct algorithm *algorithm_of(EVP_PKEY *key)
{
	char group[32] = "";
	bool ec = EVP_PKEY_is_a(key, "EC") &&
		  EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1;

	for (size_t i = 0; i < array_len(algorithms); i++) {
		const struct algorithm *a = &algorithms[i];

		if (a->group ? ec && str_eq(str_from(group), str_from(a->group))
			     : EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= 2048)
			return a;
	}
	return NULL;
}

static int number(struct buf *out, EVP_PKEY *key, const char *param, size_t size, struct err *e)
{
	unsigned char bytes[SIGNATURE_MAX];
	BIGNUM *n = NULL;
	int rc = -1;

	if (EVP_PKEY_get_bn_param(key, param, &n) == 1 && size == 0)
		size = (size_t)BN_num_bytes(n);
	if (!n || size > sizeof(bytes) || BN_bn2binpad(n, bytes, (int)size) != (int)size)
		err_openssl(e, ERR_INVALID, "cannot read the public key");
	else
		rc = base64url_encode(out, (struct str){(char *)bytes, size}, e);
	BN_free(n);
	return rc;
}

int jws_jwk(struct buf *out, EVP_PKEY *key, struct err *e)
{
	const struct algorithm *a = algorithm_of(key);
	struct buf one = BUF_INIT, two = BUF_INIT;
	int rc = -1;

	if (!a)
		return err_set(e, ERR_INVALID, "an account's key must be P-256, P-384 or RSA");
	if (a->group && number(&one, key, OSSL_PKEY_PARAM_EC_PUB_X, a->bytes, e) == 0 &&
	    number(&two, key, OSSL_PKEY_PARAM_EC_PUB_Y, a->bytes, e) == 0)
		rc = buf_addf(out, e, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
			      a->crv, one.data, two.data);
	else if (!a->group && number(&one, key, OSSL_PKEY_PARAM_RSA_E, 0, e) == 0 &&
		 number(&two, key, OSSL_PKEY_PARAM_RSA_N, 0, e) == 0)
		rc = buf_addf(out, e, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", one.data,
			      two.data);
	buf_deinit(&one);
	buf_deinit(&two);
	return rc;
}

int jws_thumbprint(char out[JWS_THUMBPRINT_SIZE], EVP_PKEY *key, struct err *e)
{
	unsigned char digest[32];
	struct buf jwk = BUF_INIT, text = BUF_INIT;
	int rc = -1;

	if (jws_jwk(&jwk, key, e) != 0)
		goto done;
	if (EVP_Digest(jwk.data, jwk.len, digest, NULL, EVP_sha256(), NULL) != 1) {
		err_openssl(e, ERR_INTERNAL, "SHA-256 failed");
		goto done;
	}
	if (base64url_encode(&text, (struct str){(char *)digest, sizeof(digest)}, e) != 0)
		goto done;
	memcpy(out, text.data, JWS_THUMBPRINT_SIZE);
	rc = 0;
done:
	buf_deinit(&jwk);
	buf_deinit(&text);
	return rc;
}

/* RFC 7518 section 3.4: r and s, of the curve's size each, instead of OpenSSL's DER. */
static int raw_signature(struct buf *out, const struct algorithm *a, const unsigned char *der,
			 size_t len, struct err *e)
{
	unsigned char raw[2 * COORDINATE_MAX];
	int n = (int)a->bytes;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
	int rc = -1;

	if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, n) != n ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + n, n) != n)
		err_openssl(e, ERR_INTERNAL, "cannot read the signature");
	else
		rc = base64url_encode(out, (struct str){(char *)raw, 2 * a->bytes}, e);
	ECDSA_SIG_free(sig);
	return rc;
}

/* Appends base64url of the signature over text. */
static int sign(struct buf *out, EVP_PKEY *key, struct str text, struct err *e)
{
	const struct algorithm *a = algorithm_of(key);
	unsigned char bytes[SIGNATURE_MAX];
	size_t len = sizeof(bytes);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int rc = -1;

	if (!a)
		err_set(e, ERR_INVALID, "an account's key must be P-256, P-384 or RSA");
	else if (!ctx || EVP_DigestSignInit(ctx, NULL, a->digest(), NULL, key) != 1 ||
		 EVP_DigestSign(ctx, bytes, &len, (const unsigned char *)text.ptr, text.len) != 1)
		err_openssl(e, ERR_INTERNAL, "cannot sign for the CA");
	else if (a->group)
		rc = raw_signature(out, a, bytes, len, e);
	else
		rc = base64url_encode(out, (struct str){(char *)bytes, len}, e);
	EVP_MD_CTX_free(ctx);
	return rc;
}

static int protected_header(struct buf *out, const struct jws_header *h, EVP_PKEY *key,
			    struct err *e)
{
	const struct algorithm *a = algorithm_of(key);
	const char *alg = a ? a->alg : "none"; /* which sign refuses */
	struct buf jwk = BUF_INIT;
	json_t *o = NULL;
	char *text = NULL;
	int rc = -1;

	if (h->kid) {
		o = json_pack("{s:s, s:s*, s:s, s:s}", "alg", alg, "nonce", h->nonce, "url", h->url,
			      "kid", h->kid);
	} else {
		if (jws_jwk(&jwk, key, e) != 0)
			goto done;
		o = json_pack("{s:s, s:s*, s:s, s:o*}", "alg", alg, "nonce", h->nonce, "url",
			      h->url, "jwk", json_loadb(jwk.data, jwk.len, 0, NULL));
	}
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (!text) {
		err_set(e, ERR_INVALID, "cannot write the JWS header");
		goto done;
	}
	rc = base64url_encode(out, str_from(text), e);
done:
	buf_deinit(&jwk);
	json_decref(o);
	free(text);
	return rc;
}

int jws_sign(struct buf *out, const struct jws_header *h, EVP_PKEY *key, struct str payload,
	     struct err *e)
{
	struct buf input = {.limit = JWS_LIMIT}, signature = BUF_INIT;
	size_t header_len;
	int rc = -1;

	if (protected_header(&input, h, key, e) != 0)
		goto done;
	header_len = input.len;
	if (buf_add_str(&input, STR("."), e) != 0 || base64url_encode(&input, payload, e) != 0 ||
	    sign(&signature, key, buf_str(&input), e) != 0)
		goto done;
	rc = buf_addf(out, e, "{\"protected\":\"%.*s\",\"payload\":\"%s\",\"signature\":\"%s\"}",
		      (int)header_len, input.data, input.data + header_len + 1, signature.data);
done:
	buf_deinit(&input);
	buf_deinit(&signature);
	return rc;
}
