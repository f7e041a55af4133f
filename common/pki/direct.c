/* OpenSSL 3's own interface for keys always searches; the one before it takes the numbers. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/pki/direct.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

/* A library context without a single decoder, made once: certificates that are parsed in it keep
 * their public keys as bytes. */
static OSSL_LIB_CTX *bare;
static CRYPTO_ONCE bare_once = CRYPTO_ONCE_STATIC_INIT;

static void make_bare(void)
{
	bare = OSSL_LIB_CTX_new();
	/* Else the default provider is loaded by itself. */
	if (bare && !OSSL_PROVIDER_load(bare, "null")) {
		OSSL_LIB_CTX_free(bare);
		bare = NULL;
	}
}

X509 *direct_cert(struct str der)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	X509 *cert = NULL;

	if (der.len == 0 || der.len > INT_MAX ||
	    CRYPTO_THREAD_run_once(&bare_once, make_bare) != 1 || !bare)
		return NULL;
	cert = X509_new_ex(bare, NULL);
	if (cert && (!d2i_X509(&cert, &p, (long)der.len) ||
		     p != (const unsigned char *)der.ptr + der.len)) {
		X509_free(cert);
		cert = NULL;
	}
	ERR_clear_error();
	return cert;
}

/* --- keys --- */

/* The curves that are taken, an empty key on each, made once: a copy costs a tenth of a group made
 * from its numbers. */
static struct {
	int nid;
	EC_KEY *empty;
} curves[] = {{NID_X9_62_prime256v1, NULL}, {NID_secp384r1, NULL}, {NID_secp521r1, NULL}};
static CRYPTO_ONCE curves_once = CRYPTO_ONCE_STATIC_INIT;

static void make_curves(void)
{
	for (size_t i = 0; i < array_len(curves); i++)
		curves[i].empty = EC_KEY_new_by_curve_name(curves[i].nid);
}

static bool is_taken_curve(int nid)
{
	for (size_t i = 0; i < array_len(curves); i++)
		if (curves[i].nid == nid)
			return true;
	return false;
}

/* An empty key on the curve; NULL: none of ours. */
static EC_KEY *empty_key(int nid)
{
	if (CRYPTO_THREAD_run_once(&curves_once, make_curves) != 1)
		return NULL;
	for (size_t i = 0; i < array_len(curves); i++)
		if (curves[i].nid == nid)
			return curves[i].empty ? EC_KEY_dup(curves[i].empty) : NULL;
	return NULL;
}

/* The same by the name that an algorithm has for it. */
static EC_KEY *key_on_curve(const X509_ALGOR *algorithm)
{
	const void *value = NULL;
	int type = 0;

	X509_ALGOR_get0(NULL, &type, &value, algorithm);
	return type == V_ASN1_OBJECT ? empty_key(OBJ_obj2nid(value)) : NULL;
}

static EVP_PKEY *wrap_ec(EC_KEY *ec)
{
	EVP_PKEY *key = ec ? EVP_PKEY_new() : NULL;

	if (key && EVP_PKEY_assign_EC_KEY(key, ec) == 1)
		return key;
	EVP_PKEY_free(key);
	EC_KEY_free(ec);
	return NULL;
}

static EVP_PKEY *wrap_rsa(RSA *rsa)
{
	EVP_PKEY *key = rsa ? EVP_PKEY_new() : NULL;

	if (key && EVP_PKEY_assign_RSA(key, rsa) == 1)
		return key;
	EVP_PKEY_free(key);
	RSA_free(rsa);
	return NULL;
}

EVP_PKEY *direct_new_key(int nid)
{
	EC_KEY *ec = empty_key(nid);

	if (ec && EC_KEY_generate_key(ec) != 1) {
		EC_KEY_free(ec);
		ec = NULL;
	}
	ERR_clear_error();
	return wrap_ec(ec);
}

static EVP_PKEY *public_ec(const X509_ALGOR *algorithm, const unsigned char *p, int len)
{
	const unsigned char *end = p + len;
	EC_KEY *ec = key_on_curve(algorithm);

	if (ec && (!o2i_ECPublicKey(&ec, &p, len) || p != end)) {
		EC_KEY_free(ec);
		ec = NULL;
	}
	return wrap_ec(ec);
}

static EVP_PKEY *public_rsa(const unsigned char *p, int len)
{
	const unsigned char *end = p + len;
	RSA *rsa = d2i_RSAPublicKey(NULL, &p, len);

	if (rsa && p != end) {
		RSA_free(rsa);
		rsa = NULL;
	}
	return wrap_rsa(rsa);
}

EVP_PKEY *direct_public(X509 *cert)
{
	ASN1_OBJECT *object = NULL;
	const unsigned char *bytes = NULL;
	X509_ALGOR *algorithm = NULL;
	EVP_PKEY *key = NULL;
	int len = 0;

	if (X509_PUBKEY_get0_param(&object, &bytes, &len, &algorithm, X509_get_X509_PUBKEY(cert)) ==
	    1) {
		if (OBJ_obj2nid(object) == NID_X9_62_id_ecPublicKey)
			key = public_ec(algorithm, bytes, len);
		else if (OBJ_obj2nid(object) == NID_rsaEncryption)
			key = public_rsa(bytes, len);
	}
	ERR_clear_error();
	return key;
}

/* ec: the curve, or NULL when the bytes name it. Takes ec over. */
static EVP_PKEY *private_ec(EC_KEY *ec, const unsigned char *p, long len)
{
	const unsigned char *end = p + len;
	EC_KEY *got = d2i_ECPrivateKey(ec ? &ec : NULL, &p, len);

	if (!got) {
		EC_KEY_free(ec);
		return NULL;
	}
	if (p == end && is_taken_curve(EC_GROUP_get_curve_name(EC_KEY_get0_group(got))) &&
	    EC_GROUP_get_asn1_flag(EC_KEY_get0_group(got)) == OPENSSL_EC_NAMED_CURVE)
		return wrap_ec(got);
	EC_KEY_free(got);
	return NULL;
}

static EVP_PKEY *private_rsa(const unsigned char *p, long len)
{
	const unsigned char *end = p + len;
	RSA *rsa = d2i_RSAPrivateKey(NULL, &p, len);

	if (rsa && p != end) {
		RSA_free(rsa);
		rsa = NULL;
	}
	return wrap_rsa(rsa);
}

static EVP_PKEY *private_pkcs8(struct str der)
{
	const unsigned char *p = (const unsigned char *)der.ptr, *bytes = NULL;
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.len);
	const ASN1_OBJECT *object = NULL;
	const X509_ALGOR *algorithm = NULL;
	EVP_PKEY *key = NULL;
	int len = 0;

	if (info && p == (const unsigned char *)der.ptr + der.len &&
	    PKCS8_pkey_get0(&object, &bytes, &len, &algorithm, info) == 1) {
		int nid = OBJ_obj2nid(object);
		EC_KEY *ec = nid == NID_X9_62_id_ecPublicKey ? key_on_curve(algorithm) : NULL;

		if (ec)
			key = private_ec(ec, bytes, len);
		else if (nid == NID_rsaEncryption)
			key = private_rsa(bytes, len);
	}
	PKCS8_PRIV_KEY_INFO_free(info);
	return key;
}

EVP_PKEY *direct_private(struct str label, struct str der)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	EVP_PKEY *key = NULL;

	if (der.len == 0 || der.len > INT_MAX)
		return NULL;
	if (str_eq(label, STR("PRIVATE KEY")))
		key = private_pkcs8(der);
	else if (str_eq(label, STR("EC PRIVATE KEY")))
		key = private_ec(NULL, p, (long)der.len);
	else if (str_eq(label, STR("RSA PRIVATE KEY")))
		key = private_rsa(p, (long)der.len);
	ERR_clear_error();
	return key;
}

/* --- do they belong together --- */

/* The scalar times the generator is the point; nothing else is asked of it. */
static bool same_ec(const EC_KEY *public_key, const EC_KEY *private_key)
{
	const EC_GROUP *group = EC_KEY_get0_group(public_key);
	const EC_POINT *point = EC_KEY_get0_public_key(public_key);
	const EC_POINT *given = EC_KEY_get0_public_key(private_key);
	const BIGNUM *scalar = EC_KEY_get0_private_key(private_key);
	EC_POINT *made = EC_POINT_new(group);
	bool same = false;

	if (made && point && given && scalar && !BN_is_zero(scalar) && !BN_is_negative(scalar) &&
	    EC_GROUP_get_curve_name(group) ==
		    EC_GROUP_get_curve_name(EC_KEY_get0_group(private_key)) &&
	    BN_cmp(scalar, EC_GROUP_get0_order(group)) < 0 &&
	    EC_POINT_mul(group, made, scalar, NULL, NULL, NULL) == 1)
		same = EC_POINT_cmp(group, made, point, NULL) == 0 &&
		       EC_POINT_cmp(group, made, given, NULL) == 0;
	EC_POINT_free(made);
	return same;
}

static bool same_rsa(const RSA *public_key, const RSA *private_key)
{
	const BIGNUM *n = NULL, *e = NULL, *private_n = NULL, *private_e = NULL, *d = NULL;

	RSA_get0_key(public_key, &n, &e, NULL);
	RSA_get0_key(private_key, &private_n, &private_e, &d);
	return n && e && private_n && private_e && d && BN_cmp(n, private_n) == 0 &&
	       BN_cmp(e, private_e) == 0;
}

bool direct_same(EVP_PKEY *public_key, EVP_PKEY *private_key)
{
	int type = EVP_PKEY_get_base_id(public_key);
	bool same = false;

	if (type != EVP_PKEY_get_base_id(private_key))
		return false;
	if (type == EVP_PKEY_EC)
		same = same_ec(EVP_PKEY_get0_EC_KEY(public_key), EVP_PKEY_get0_EC_KEY(private_key));
	else if (type == EVP_PKEY_RSA)
		same = same_rsa(EVP_PKEY_get0_RSA(public_key), EVP_PKEY_get0_RSA(private_key));
	ERR_clear_error();
	return same;
}

/* --- who issued --- */

/* One extension, decoded; *there: it is in the certificate. */
static void *extension(X509 *cert, int nid, bool *there)
{
	int critical = 0;
	void *out = X509_get_ext_d2i(cert, nid, &critical, NULL);

	*there = critical != -1;
	return out;
}

/* The key that the certificate says signed it is the issuer's: RFC 5280 4.2.1.1. Without either
 * extension there is nothing to compare. */
static bool key_ids_fit(X509 *issuer, X509 *cert)
{
	bool has_authority, has_subject, fit = false;
	AUTHORITY_KEYID *authority = extension(cert, NID_authority_key_identifier, &has_authority);
	ASN1_OCTET_STRING *subject = extension(issuer, NID_subject_key_identifier, &has_subject);

	if (!has_authority)
		fit = true;
	else if (authority && !authority->issuer && !authority->serial && authority->keyid)
		fit = subject && ASN1_OCTET_STRING_cmp(authority->keyid, subject) == 0;
	AUTHORITY_KEYID_free(authority);
	ASN1_OCTET_STRING_free(subject);
	return fit;
}

static bool may_sign(X509 *issuer)
{
	enum { KEY_CERT_SIGN = 5 };
	bool there;
	ASN1_BIT_STRING *usage = extension(issuer, NID_key_usage, &there);
	bool may = !there || (usage && ASN1_BIT_STRING_get_bit(usage, KEY_CERT_SIGN));

	ASN1_BIT_STRING_free(usage);
	return may;
}

/* The digest of a signature that is made with keys of this type; NULL: none of ours. */
static const EVP_MD *digest_of(X509 *cert, EVP_PKEY *issuer_key)
{
	static const struct {
		int signature, key;
		const EVP_MD *(*digest)(void);
	} kinds[] = {
		{NID_ecdsa_with_SHA256, EVP_PKEY_EC, EVP_sha256},
		{NID_ecdsa_with_SHA384, EVP_PKEY_EC, EVP_sha384},
		{NID_ecdsa_with_SHA512, EVP_PKEY_EC, EVP_sha512},
		{NID_sha256WithRSAEncryption, EVP_PKEY_RSA, EVP_sha256},
		{NID_sha384WithRSAEncryption, EVP_PKEY_RSA, EVP_sha384},
		{NID_sha512WithRSAEncryption, EVP_PKEY_RSA, EVP_sha512},
	};

	for (size_t i = 0; i < array_len(kinds); i++)
		if (kinds[i].signature == X509_get_signature_nid(cert) &&
		    kinds[i].key == EVP_PKEY_get_base_id(issuer_key))
			return kinds[i].digest();
	return NULL;
}

/* What is signed, as it came: the first element inside the certificate. OpenSSL would only encode
 * it anew. */
static bool signed_part(struct str der, struct str *out)
{
	const unsigned char *p = (const unsigned char *)der.ptr, *end = p + der.len, *from;
	long len;
	int tag, class;

	if (ASN1_get_object(&p, &len, &tag, &class, (long)der.len) & 0x80)
		return false;
	from = p;
	if (ASN1_get_object(&p, &len, &tag, &class, (long)(end - p)) & 0x80)
		return false;
	*out = (struct str){(const char *)from, (size_t)(p + len - from)};
	return true;
}

/* The algorithm stands twice, and both must be the same: RFC 5280 4.1.1.2. */
static bool is_signed_by(X509 *cert, struct str der, EVP_PKEY *key)
{
	enum { UNUSED_BITS = 7 }; /* of a bit string's flags */
	const ASN1_BIT_STRING *signature = NULL;
	const X509_ALGOR *outer = NULL;
	const EVP_MD *digest = digest_of(cert, key);
	EVP_MD_CTX *ctx = digest ? EVP_MD_CTX_new() : NULL;
	struct str part;
	bool ok = false;

	if (!ctx)
		return false;
	X509_get0_signature(&signature, &outer, cert);
	if (signed_part(der, &part) && !(signature->flags & UNUSED_BITS) &&
	    X509_ALGOR_cmp(outer, X509_get0_tbs_sigalg(cert)) == 0 &&
	    EVP_DigestVerifyInit(ctx, NULL, digest, NULL, key) == 1)
		ok = EVP_DigestVerify(ctx, ASN1_STRING_get0_data(signature),
				      (size_t)ASN1_STRING_length(signature),
				      (const unsigned char *)part.ptr, part.len) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool direct_issued(X509 *issuer, EVP_PKEY *issuer_key, X509 *cert, struct str der)
{
	bool ok = X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(cert)) == 0 &&
		  X509_get_ext_by_NID(cert, NID_proxyCertInfo, -1) < 0 &&
		  key_ids_fit(issuer, cert) && may_sign(issuer) &&
		  is_signed_by(cert, der, issuer_key);

	ERR_clear_error();
	return ok;
}
