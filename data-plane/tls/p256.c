/* EC_KEY is deprecated since OpenSSL 3.0 and is what is fast here: keys made by EVP_PKEY_fromdata
 * are encoded by the generic encoders when a certificate takes them. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "data-plane/tls/p256.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* PKCS#8 (RFC 5208) around ECPrivateKey (RFC 5915) with a public key:
 *
 *     head (36) | private (32) | middle (5) | public, uncompressed (65)
 */
static const unsigned char head[] = {
	0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86,
	0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
	0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
};
static const unsigned char middle[] = {0xa1, 0x44, 0x03, 0x42, 0x00};

enum {
	PRIVATE_SIZE = 32,
	PUBLIC_SIZE = 65,
	PRIVATE_AT = sizeof(head),
	MIDDLE_AT = PRIVATE_AT + PRIVATE_SIZE,
	PUBLIC_AT = MIDDLE_AT + sizeof(middle),
	KEY_SIZE = PUBLIC_AT + PUBLIC_SIZE,
};

struct p256 {
	OSSL_LIB_CTX *bare; /* without decoders */
	OSSL_PROVIDER *null;
	EC_GROUP *group;
};

int p256_create(struct p256 **out, struct err *e)
{
	struct p256 *p = calloc(1, sizeof(*p));

	if (!p)
		return err_memory(e, "making a parser of keys");
	p->bare = OSSL_LIB_CTX_new();
	p->null = p->bare ? OSSL_PROVIDER_load(p->bare, "null") : NULL;
	p->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (!p->null || !p->group) {
		p256_free(p);
		return err_openssl(e, ERR_INTERNAL, "making a parser of keys");
	}
	*out = p;
	return 0;
}

void p256_free(struct p256 *p)
{
	if (!p)
		return;
	EC_GROUP_free(p->group);
	if (p->null)
		OSSL_PROVIDER_unload(p->null);
	OSSL_LIB_CTX_free(p->bare);
	free(p);
}

static bool has_shape(struct str key)
{
	return key.len == KEY_SIZE &&
	       str_starts(key, (struct str){(const char *)head, sizeof(head)}) &&
	       str_eq(str_sub(key, MIDDLE_AT, PUBLIC_AT),
		      (struct str){(const char *)middle, sizeof(middle)});
}

static EVP_PKEY *parse_key(const struct p256 *p, struct str key)
{
	const unsigned char *at = (const unsigned char *)key.ptr;
	EC_KEY *ec = EC_KEY_new();
	EVP_PKEY *out = EVP_PKEY_new();

	/* The point is checked to be on the curve. */
	if (ec && out && EC_KEY_set_group(ec, p->group) == 1 &&
	    EC_KEY_oct2priv(ec, at + PRIVATE_AT, PRIVATE_SIZE) == 1 &&
	    EC_KEY_oct2key(ec, at + PUBLIC_AT, PUBLIC_SIZE, NULL) == 1 &&
	    EVP_PKEY_assign_EC_KEY(out, ec) == 1)
		return out;
	EC_KEY_free(ec);
	EVP_PKEY_free(out);
	return NULL;
}

static bool encodes_to(X509 *cert, struct str leaf)
{
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);
	bool same = n > 0 && str_eq((struct str){(const char *)der, (size_t)n}, leaf);

	OPENSSL_free(der);
	return same;
}

/* Whether the leaf's public key is an EC key of these bytes. */
static bool has_public(const X509 *cert, struct str public)
{
	const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(cert);
	ASN1_OBJECT *algorithm = NULL;

	return bits &&
	       X509_PUBKEY_get0_param(&algorithm, NULL, NULL, NULL, X509_get_X509_PUBKEY(cert)) ==
		       1 &&
	       OBJ_obj2nid(algorithm) == EVP_PKEY_EC && bits->length == PUBLIC_SIZE &&
	       str_eq((struct str){(const char *)bits->data, PUBLIC_SIZE}, public);
}

static X509 *parse_leaf(const struct p256 *p, struct str leaf, struct str public, EVP_PKEY *key)
{
	const unsigned char *at = (const unsigned char *)leaf.ptr;
	X509 *cert = X509_new_ex(p->bare, NULL);

	/* On failure d2i_X509 has freed it. */
	if (!cert || !d2i_X509(&cert, &at, (long)leaf.len))
		return NULL;
	if (has_public(cert, public) && X509_set_pubkey(cert, key) == 1 && encodes_to(cert, leaf)) {
		/* Looks at the extensions now, whose fingerprint the bare context cannot make:
		 * an error left in OpenSSL's queue later would end the connection. */
		(void)X509_get_extension_flags(cert);
		return cert;
	}
	X509_free(cert);
	return NULL;
}

bool p256_parse(const struct p256 *p, struct str leaf, struct str key, X509 **cert, EVP_PKEY **pkey)
{
	EVP_PKEY *k;
	X509 *x;

	if (!has_shape(key))
		return false;
	k = parse_key(p, key);
	x = k ? parse_leaf(p, leaf, str_sub(key, PUBLIC_AT, KEY_SIZE), k) : NULL;
	ERR_clear_error(); /* what the bare context could not do */
	if (!x) {
		EVP_PKEY_free(k);
		return false;
	}
	*cert = x;
	*pkey = k;
	return true;
}
