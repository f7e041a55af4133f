/* Signed requests (RFC 8555 section 6): what is wrong is said in the order in which Let's Encrypt
 * looks: media type, form, algorithm, key or account, URL, nonce, signature. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>

#include "common/core/codec.h"
#include "tests/ca/ca.h"

enum { DIGEST_SIZE = 32, COORDINATE_MAX = 66 };

struct algorithm {
	const char *name, *key, *group;
	size_t half; /* bytes of r and of s; 0: RSA */
	const EVP_MD *(*md)(void);
};
static const struct algorithm algorithms[] = {
	{"ES256", "EC", "prime256v1", 32, EVP_sha256},
	{"ES384", "EC", "secp384r1", 48, EVP_sha384},
	{"RS256", "RSA", NULL, 0, EVP_sha256},
};

static const char *text_of(const json_t *o, const char *name)
{
	const char *t = json_string_value(json_object_get(o, name));

	return t ? t : "";
}

static const struct algorithm *algorithm_of(const char *name)
{
	for (size_t i = 0; i < array_len(algorithms); i++)
		if (str_eq(str_from(algorithms[i].name), str_from(name)))
			return &algorithms[i];
	return NULL;
}

/* --- keys --- */

static BIGNUM *number_of(const json_t *jwk, const char *name)
{
	struct buf raw = BUF_INIT;
	BIGNUM *n = NULL;

	if (base64url_decode(&raw, str_from(text_of(jwk, name)), NULL) == 0 && raw.len > 0 &&
	    raw.len <= 1024)
		n = BN_bin2bn((unsigned char *)raw.data, (int)raw.len, NULL);
	buf_deinit(&raw);
	return n;
}

static EVP_PKEY *key_of_params(const char *type, OSSL_PARAM_BLD *b)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return key;
}

static EVP_PKEY *read_rsa(const json_t *jwk)
{
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	BIGNUM *n = number_of(jwk, "n"), *exponent = number_of(jwk, "e");
	EVP_PKEY *key = NULL;

	if (b && n && exponent && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
		key = key_of_params("RSA", b);
	BN_free(n);
	BN_free(exponent);
	OSSL_PARAM_BLD_free(b);
	return key;
}

static EVP_PKEY *read_ec(const json_t *jwk)
{
	const bool p384 = str_eq(str_from(text_of(jwk, "crv")), STR("P-384"));
	const char *group = p384 ? "secp384r1" : "prime256v1";
	const int half = p384 ? 48 : 32;
	unsigned char point[1 + 2 * COORDINATE_MAX] = {4};
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	BIGNUM *x = number_of(jwk, "x"), *y = number_of(jwk, "y");
	EVP_PKEY *key = NULL;

	if (b && x && y && BN_bn2binpad(x, point + 1, half) == half &&
	    BN_bn2binpad(y, point + 1 + half, half) == half &&
	    OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point,
					     1 + 2 * (size_t)half) == 1)
		key = key_of_params("EC", b);
	BN_free(x);
	BN_free(y);
	OSSL_PARAM_BLD_free(b);
	return key;
}

EVP_PKEY *ca_jwk_read(const json_t *jwk, char thumbprint[CA_THUMBPRINT_SIZE])
{
	static const char *const ec[] = {"crv", "kty", "x", "y", NULL};
	static const char *const rsa[] = {"e", "kty", "n", NULL};
	const bool is_rsa = str_eq(str_from(text_of(jwk, "kty")), STR("RSA"));
	const char *const *members = is_rsa ? rsa : ec;
	unsigned char digest[DIGEST_SIZE];
	struct buf canonical = BUF_INIT, text = BUF_INIT;
	EVP_PKEY *key = is_rsa ? read_rsa(jwk) : read_ec(jwk);

	thumbprint[0] = '\0';
	for (size_t i = 0; members[i]; i++)
		if (buf_addf(&canonical, NULL, "%s\"%s\":\"%s\"", i ? "," : "{", members[i],
			     text_of(jwk, members[i])) != 0)
			break;
	if (buf_add(&canonical, "}", 1, NULL) == 0 &&
	    EVP_Digest(canonical.data, canonical.len, digest, NULL, EVP_sha256(), NULL) == 1 &&
	    base64url_encode(&text, (struct str){(char *)digest, sizeof(digest)}, NULL) == 0)
		memcpy(thumbprint, text.data, CA_THUMBPRINT_SIZE);
	buf_deinit(&canonical);
	buf_deinit(&text);
	return key;
}

/* --- one JWS --- */

int ca_jws_open(const json_t *jws, json_t **header, struct buf *payload, struct err *e)
{
	struct buf raw = BUF_INIT;

	*header = NULL;
	if (json_object_get(jws, "header") || json_object_get(jws, "signatures"))
		return err_set(e, ERR_INVALID, "JWS has an unprotected header or more signatures");
	if (base64url_decode(&raw, str_from(text_of(jws, "protected")), e) == 0)
		*header =
			json_loadb(raw.data ? raw.data : "", raw.len, JSON_REJECT_DUPLICATES, NULL);
	buf_deinit(&raw);
	if (!json_is_object(*header) || !json_is_string(json_object_get(jws, "payload")) ||
	    base64url_decode(payload, str_from(text_of(jws, "payload")), e) != 0) {
		json_decref(*header);
		*header = NULL;
		return err_set(e, ERR_INVALID, "Parse error reading JWS");
	}
	return 0;
}

static int signing_input(struct buf *out, const json_t *jws, struct err *e)
{
	return buf_addf(out, e, "%s.%s", text_of(jws, "protected"), text_of(jws, "payload"));
}

/* r and s as OpenSSL takes them; the result is for OPENSSL_free. */
static unsigned char *der_signature(struct str raw, size_t half, int *len)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn((const unsigned char *)raw.ptr, (int)half, NULL);
	BIGNUM *s = BN_bin2bn((const unsigned char *)raw.ptr + half, (int)half, NULL);
	unsigned char *der = NULL;

	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		ECDSA_SIG_free(sig);
		return NULL;
	}
	*len = i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	return *len > 0 ? der : NULL;
}

static bool verify_bytes(const struct algorithm *a, EVP_PKEY *key, struct str sig, struct str input)
{
	EVP_MD_CTX *ctx;
	unsigned char *der = NULL;
	const unsigned char *bytes = (const unsigned char *)sig.ptr;
	int len = (int)sig.len;
	bool good;

	if (!EVP_PKEY_is_a(key, a->key) || (a->half && sig.len != 2 * a->half))
		return false;
	if (a->half)
		bytes = der = der_signature(sig, a->half, &len);
	ctx = EVP_MD_CTX_new();
	good = bytes && ctx && EVP_DigestVerifyInit(ctx, NULL, a->md(), NULL, key) == 1 &&
	       EVP_DigestVerify(ctx, bytes, (size_t)len, (const unsigned char *)input.ptr,
				input.len) == 1;
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	return good;
}

int ca_jws_verify(const json_t *jws, EVP_PKEY *key, struct err *e)
{
	struct buf input = BUF_INIT, sig = BUF_INIT, payload = BUF_INIT;
	const struct algorithm *a;
	json_t *header = NULL;
	bool good = false;

	if (ca_jws_open(jws, &header, &payload, e) == 0) {
		a = algorithm_of(text_of(header, "alg"));
		good = a && base64url_decode(&sig, str_from(text_of(jws, "signature")), e) == 0 &&
		       signing_input(&input, jws, e) == 0 &&
		       verify_bytes(a, key, buf_str(&sig), buf_str(&input));
	}
	json_decref(header);
	buf_deinit(&input);
	buf_deinit(&sig);
	buf_deinit(&payload);
	return good ? 0 : err_set(e, ERR_INVALID, "JWS verification error");
}

int ca_jws_verify_mac(const json_t *jws, struct str mac, struct err *e)
{
	unsigned char tag[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct buf input = BUF_INIT, sig = BUF_INIT;
	bool good = base64url_decode(&sig, str_from(text_of(jws, "signature")), e) == 0 &&
		    signing_input(&input, jws, e) == 0 &&
		    HMAC(EVP_sha256(), mac.ptr, (int)mac.len, (unsigned char *)input.data,
			 input.len, tag, &len) &&
		    sig.len == len && CRYPTO_memcmp(sig.data, tag, len) == 0;

	buf_deinit(&input);
	buf_deinit(&sig);
	return good ? 0 : err_set(e, ERR_INVALID, "external account binding does not verify");
}

/* --- a whole request --- */

static bool malformed(struct ca_request *q, const char *text)
{
	ca_problem(q, 400, "malformed", "%s", text);
	return false;
}

static bool find_key(struct ca_request *q, enum ca_jws kind)
{
	const json_t *jwk = json_object_get(q->header, "jwk");
	struct str kid = str_from(json_string_value(json_object_get(q->header, "kid")));
	char thumbprint[CA_THUMBPRINT_SIZE];
	size_t slash;

	if (!jwk == !kid.ptr)
		return malformed(q, "jwk and kid header fields are mutually exclusive");
	if ((jwk && kind == CA_JWS_KID) || (!jwk && kind == CA_JWS_JWK))
		return malformed(q,
				 jwk ? "No Key ID in JWS header" : "No embedded JWK in JWS header");
	if (jwk) {
		q->jwk = ca_jwk_read(jwk, thumbprint);
		if (q->jwk)
			return true;
		ca_problem(q, 400, "badPublicKey", "the JWK is not a key that is supported");
		return false;
	}
	slash = kid.len;
	while (slash > 0 && kid.ptr[slash - 1] != '/')
		slash--;
	q->account = ca_table_get(&q->ca->accounts, str_sub(kid, slash, kid.len));
	if (!q->account) {
		ca_problem(q, 400, "accountDoesNotExist", "Account \"%s\" not found", kid.ptr);
		return false;
	}
	if (!q->account->deactivated)
		return true;
	ca_problem(q, 403, "unauthorized", "Account is not valid, has status \"deactivated\"");
	return false;
}

static bool algorithm_ok(struct ca_request *q)
{
	json_t *doc;

	if (algorithm_of(text_of(q->header, "alg")))
		return true;
	doc = ca_problem_json(400, "badSignatureAlgorithm",
			      "JWS signature header contains unsupported algorithm \"%s\"",
			      text_of(q->header, "alg"));
	json_object_set_new(doc, "algorithms", json_pack("[s,s,s]", "RS256", "ES256", "ES384"));
	ca_problem_doc(q, 400, doc);
	return false;
}

static bool url_ok(struct ca_request *q)
{
	const struct http_request *r = exchange_request(q->x);
	struct str url = str_from(text_of(q->header, "url"));
	struct buf want = BUF_INIT;
	bool same = buf_addf(&want, NULL, "https://%.*s%.*s", (int)r->authority.len,
			     r->authority.ptr, (int)r->target.len, r->target.ptr) == 0 &&
		    str_eq(url, buf_str(&want));

	if (!same)
		ca_problem(q, 400, "malformed",
			   "JWS header parameter 'url' incorrect. Expected \"%s\" got \"%s\"",
			   want.data ? want.data : "", url.ptr);
	buf_deinit(&want);
	return same;
}

static bool nonce_ok(struct ca_request *q)
{
	unsigned char dice = 0;
	bool good = ca_nonce_use(&q->ca->nonces, str_from(text_of(q->header, "nonce")));

	if (good && q->ca->settings.nonce_reject > 0 && RAND_bytes(&dice, 1) == 1)
		good = dice * 100 / 256 >= q->ca->settings.nonce_reject;
	if (good)
		return true;
	q->ca->counts.bad_nonces++;
	ca_problem(q, 400, "badNonce", "JWS has an invalid anti-replay nonce: \"%s\"",
		   text_of(q->header, "nonce"));
	return false;
}

static bool payload_ok(struct ca_request *q)
{
	if (q->payload.len == 0)
		return true;
	q->json = json_loadb(q->payload.data, q->payload.len, JSON_REJECT_DUPLICATES, NULL);
	return json_is_object(q->json) || malformed(q, "Request payload did not parse as JSON");
}

bool ca_jws_check(struct ca_request *q, enum ca_jws kind)
{
	struct str type = http_fields_get(&exchange_request(q->x)->fields, STR("content-type"));
	struct err e = ERR_INIT;
	json_t *jws;
	bool good = false;

	if (!str_eq(type, STR("application/jose+json"))) {
		ca_problem(q, 415, "malformed",
			   "Invalid Content-Type header on POST. Content-Type must be "
			   "\"application/jose+json\"");
		return false;
	}
	jws = json_loadb(q->body.data ? q->body.data : "", q->body.len, JSON_REJECT_DUPLICATES,
			 NULL);
	if (!jws || ca_jws_open(jws, &q->header, &q->payload, &e) != 0) {
		malformed(q, jws ? e.message : "Parse error reading JWS");
	} else if (algorithm_ok(q) && find_key(q, kind) && url_ok(q) && nonce_ok(q)) {
		if (ca_jws_verify(jws, q->account ? q->account->key : q->jwk, &e) != 0)
			malformed(q, e.message);
		else
			good = payload_ok(q);
	}
	json_decref(jws);
	return good;
}
