/* ES256 on OpenSSL; the header is written by jansson, so that no URL or nonce can break out of it.
 */
#include "control-plane/acme/jws.h"

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>

#include "common/core/codec.h"

enum { P256_BYTES = 32, JWS_LIMIT = 256 << 10 };

static int coordinate(struct buf *out, EVP_PKEY *key, const char *param, struct err *e)
{
	unsigned char bytes[P256_BYTES];
	BIGNUM *n = NULL;
	int rc = -1;

	if (EVP_PKEY_get_bn_param(key, param, &n) != 1 ||
	    BN_bn2binpad(n, bytes, P256_BYTES) != P256_BYTES)
		err_openssl(e, ERR_INVALID, "cannot read the public key");
	else
		rc = base64url_encode(out, (struct str){(char *)bytes, sizeof(bytes)}, e);
	BN_free(n);
	return rc;
}

int jws_jwk(struct buf *out, EVP_PKEY *key, struct err *e)
{
	struct buf x = BUF_INIT, y = BUF_INIT;
	char group[32] = "";
	int rc = -1;

	if (!EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1 ||
	    !str_eq(str_from(group), STR("prime256v1")))
		return err_set(e, ERR_INVALID, "account key is not on P-256");
	if (coordinate(&x, key, OSSL_PKEY_PARAM_EC_PUB_X, e) == 0 &&
	    coordinate(&y, key, OSSL_PKEY_PARAM_EC_PUB_Y, e) == 0)
		rc = buf_addf(out, e,
			      "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
			      x.data, y.data);
	buf_deinit(&x);
	buf_deinit(&y);
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

/* RFC 7518 section 3.4: r and s, 32 bytes each, instead of OpenSSL's DER. */
static int raw_signature(struct buf *out, const unsigned char *der, size_t len, struct err *e)
{
	unsigned char raw[2 * P256_BYTES];
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
	int rc = -1;

	if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, P256_BYTES) != P256_BYTES ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + P256_BYTES, P256_BYTES) != P256_BYTES)
		err_openssl(e, ERR_INTERNAL, "cannot read the signature");
	else
		rc = base64url_encode(out, (struct str){(char *)raw, sizeof(raw)}, e);
	ECDSA_SIG_free(sig);
	return rc;
}

/* Appends base64url of the signature over text. */
static int sign(struct buf *out, EVP_PKEY *key, struct str text, struct err *e)
{
	unsigned char der[256];
	size_t len = sizeof(der);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int rc = -1;

	if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(ctx, der, &len, (const unsigned char *)text.ptr, text.len) != 1)
		err_openssl(e, ERR_INTERNAL, "cannot sign for the CA");
	else
		rc = raw_signature(out, der, len, e);
	EVP_MD_CTX_free(ctx);
	return rc;
}

static int protected_header(struct buf *out, const struct jws_header *h, EVP_PKEY *key,
			    struct err *e)
{
	struct buf jwk = BUF_INIT;
	json_t *o = NULL;
	char *text = NULL;
	int rc = -1;

	if (h->kid) {
		o = json_pack("{s:s, s:s*, s:s, s:s}", "alg", "ES256", "nonce", h->nonce, "url",
			      h->url, "kid", h->kid);
	} else {
		if (jws_jwk(&jwk, key, e) != 0)
			goto done;
		o = json_pack("{s:s, s:s*, s:s, s:o*}", "alg", "ES256", "nonce", h->nonce, "url",
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
