#include "control-plane/acme/jwk.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "common/core/codec.h"
#include "common/pki/key.h"

enum { MEMBERS_MAX = 8 };

struct member {
	const char *name;  /* in the JWK */
	const char *param; /* OpenSSL's */
};

static const struct member rsa_members[MEMBERS_MAX] = {
	{"n", OSSL_PKEY_PARAM_RSA_N},	       {"e", OSSL_PKEY_PARAM_RSA_E},
	{"d", OSSL_PKEY_PARAM_RSA_D},	       {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
	{"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
	{"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
};

struct curve {
	const char *crv, *group;
	size_t bytes;
};
static const struct curve curves[] = {
	{"P-256", "prime256v1", 32},
	{"P-384", "secp384r1", 48},
};

/* Decoded into out, which is cleansed by its owner. */
static int read_member(struct buf *out, const json_t *o, const char *name, struct err *e)
{
	const json_t *v = json_object_get(o, name);

	out->secret = true;
	if (!json_is_string(v) || json_string_length(v) == 0 ||
	    base64url_decode(out, (struct str){json_string_value(v), json_string_length(v)},
			     NULL) != 0)
		return err_set(e, ERR_INVALID, "the JWK has no base64url member \"%s\"", name);
	return 0;
}

static int make_key(EVP_PKEY **out, const char *type, OSSL_PARAM_BLD *b, struct err *e)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	int rc = -1;

	*out = NULL;
	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, out, EVP_PKEY_KEYPAIR, params) != 1)
		err_openssl(e, ERR_INVALID, "the JWK is not a %s key", type);
	else
		rc = 0;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return rc;
}

static int rsa_key(EVP_PKEY **out, const json_t *o, struct err *e)
{
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	BIGNUM *numbers[MEMBERS_MAX] = {NULL};
	int rc = b ? 0 : err_memory(e, "JWK");

	for (size_t i = 0; rc == 0 && i < MEMBERS_MAX; i++) {
		struct buf bytes = BUF_INIT;

		rc = read_member(&bytes, o, rsa_members[i].name, e);
		if (rc == 0) {
			numbers[i] = BN_bin2bn((const unsigned char *)bytes.data, (int)bytes.len,
					       BN_secure_new());
			if (!numbers[i] ||
			    OSSL_PARAM_BLD_push_BN(b, rsa_members[i].param, numbers[i]) != 1)
				rc = err_memory(e, "JWK");
		}
		buf_deinit(&bytes);
	}
	if (rc == 0)
		rc = make_key(out, "RSA", b, e);
	OSSL_PARAM_BLD_free(b);
	for (size_t i = 0; i < MEMBERS_MAX; i++)
		BN_clear_free(numbers[i]);
	return rc;
}

static const struct curve *find_curve(const json_t *o)
{
	const char *crv = json_string_value(json_object_get(o, "crv"));

	for (size_t i = 0; crv && i < array_len(curves); i++)
		if (str_eq(str_from(crv), str_from(curves[i].crv)))
			return &curves[i];
	return NULL;
}

/* 04 || x || y */
static int add_point(struct buf *point, const struct buf *x, const struct buf *y)
{
	return buf_add(point, "\x04", 1, NULL) != 0 || buf_add_str(point, buf_str(x), NULL) != 0 ||
			       buf_add_str(point, buf_str(y), NULL) != 0
		       ? -1
		       : 0;
}

static int ec_key(EVP_PKEY **out, const json_t *o, struct err *e)
{
	const struct curve *c = find_curve(o);
	struct buf x = BUF_INIT, y = BUF_INIT, d = BUF_INIT, point = BUF_INIT;
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	BIGNUM *n = NULL;
	int rc = -1;

	if (!c) {
		err_set(e, ERR_INVALID, "the JWK's curve must be P-256 or P-384");
		goto done;
	}
	if (read_member(&x, o, "x", e) != 0 || read_member(&y, o, "y", e) != 0 ||
	    read_member(&d, o, "d", e) != 0)
		goto done;
	if (x.len != c->bytes || y.len != c->bytes || d.len > c->bytes) {
		err_set(e, ERR_INVALID, "the JWK's numbers do not fit its curve");
		goto done;
	}
	n = BN_bin2bn((const unsigned char *)d.data, (int)d.len, BN_secure_new());
	if (!b || !n || add_point(&point, &x, &y) != 0 ||
	    OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, c->group, 0) != 1 ||
	    OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) !=
		    1 ||
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, n) != 1)
		err_memory(e, "JWK");
	else
		rc = make_key(out, "EC", b, e);
done:
	OSSL_PARAM_BLD_free(b);
	BN_clear_free(n);
	buf_deinit(&x);
	buf_deinit(&y);
	buf_deinit(&d);
	buf_deinit(&point);
	return rc;
}

/* The halves must belong together: what is signed has to verify. */
static int check_pair(EVP_PKEY **key, struct err *e)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, *key, NULL);
	int rc = 0;

	if (!ctx || EVP_PKEY_pairwise_check(ctx) != 1)
		rc = err_openssl(e, ERR_INVALID, "the JWK's public and private parts differ");
	EVP_PKEY_CTX_free(ctx);
	if (rc == 0)
		return 0;
	EVP_PKEY_free(*key);
	*key = NULL;
	return rc;
}

int jwk_key(EVP_PKEY **out, struct str json, struct err *e)
{
	json_t *o = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL);
	const char *kty = json_string_value(json_object_get(o, "kty"));
	int rc;

	if (kty && str_eq(str_from(kty), STR("RSA")))
		rc = rsa_key(out, o, e);
	else if (kty && str_eq(str_from(kty), STR("EC")))
		rc = ec_key(out, o, e);
	else
		rc = err_set(e, ERR_INVALID, "not a JWK with \"kty\" EC or RSA");
	json_decref(o);
	return rc == 0 ? check_pair(out, e) : rc;
}

int jwk_or_pem_key(EVP_PKEY **out, struct str text, struct err *e)
{
	struct str t = text;
	int rc;

	while (t.len > 0 && (*t.ptr == ' ' || *t.ptr == '\t' || *t.ptr == '\n' || *t.ptr == '\r'))
		t = str_sub(t, 1, t.len);
	rc = t.len > 0 && *t.ptr == '{' ? jwk_key(out, t, e) : key_from_pem(out, t, e);
	if (rc != 0 || key_check_strength(*out, e) == 0)
		return rc;
	EVP_PKEY_free(*out);
	*out = NULL;
	return -1;
}
