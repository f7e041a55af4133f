#include "common/pki/signer.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "common/pki/signer_provider.h"

struct signer {
	OSSL_LIB_CTX *context;
	OSSL_PROVIDER *provider;
};

/* All that stands before the scalar in PKCS#8 with a public key, as OpenSSL writes it: version,
 * id-ecPublicKey, prime256v1, and the head of RFC 5915's ECPrivateKey. */
static const unsigned char head[] = {
	0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86,
	0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
	0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
};
/* Between the scalar and the public point, which ends it. */
static const unsigned char middle[] = {0xa1, 0x44, 0x03, 0x42, 0x00};
enum {
	POINT_SIZE = 65,
	MIDDLE_AT = sizeof(head) + SIGNER_SCALAR_SIZE,
	POINT_AT = MIDDLE_AT + sizeof(middle),
	KEY_SIZE = POINT_AT + POINT_SIZE,
};

int signer_create(struct signer **out, struct err *e)
{
	struct signer *s = calloc(1, sizeof(*s));

	if (!s)
		return err_memory(e, "making a signer");
	ERR_clear_error();
	s->context = OSSL_LIB_CTX_new();
	if (s->context &&
	    OSSL_PROVIDER_add_builtin(s->context, "signer", signer_provider_init) == 1)
		s->provider = OSSL_PROVIDER_load(s->context, "signer");
	if (!s->provider) {
		signer_free(s);
		return err_openssl(e, ERR_INTERNAL, "making a signer");
	}
	*out = s;
	return 0;
}

void signer_free(struct signer *s)
{
	if (!s)
		return;
	if (s->provider)
		OSSL_PROVIDER_unload(s->provider);
	OSSL_LIB_CTX_free(s->context);
	free(s);
}

bool signer_takes(struct str key)
{
	return key.len == KEY_SIZE && memcmp(key.ptr, head, sizeof(head)) == 0 /* not secret */ &&
	       memcmp(key.ptr + MIDDLE_AT, middle, sizeof(middle)) == 0 /* not secret */;
}

/* The certificate's own public key becomes the pair: OpenSSL has nothing to compare then. */
static EVP_PKEY *add_scalar(X509 *cert, struct str key)
{
	EVP_PKEY *pkey = X509_get_pubkey(cert);
	unsigned char scalar[SIGNER_SCALAR_SIZE];

	memcpy(scalar, key.ptr + sizeof(head), sizeof(scalar));
	if (pkey && EVP_PKEY_set_octet_string_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, scalar,
						    sizeof(scalar)) != 1) {
		EVP_PKEY_free(pkey);
		pkey = NULL;
	}
	OPENSSL_cleanse(scalar, sizeof(scalar));
	return pkey;
}

static X509 *parse(struct signer *s, struct str der)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	X509 *x = X509_new_ex(s->context, NULL);

	if (x && d2i_X509(&x, &p, (long)der.len) && p == (const unsigned char *)der.ptr + der.len)
		return x;
	X509_free(x);
	return NULL;
}

/* Both end with the public point. */
static bool same_point(X509 *cert, struct str key)
{
	const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(cert);

	return str_eq((struct str){(const char *)ASN1_STRING_get0_data(bits),
				   (size_t)ASN1_STRING_length(bits)},
		      str_sub(key, POINT_AT, KEY_SIZE));
}

int signer_load(struct signer *s, struct str leaf, struct str key, X509 **cert, EVP_PKEY **pkey,
		struct err *e)
{
	EVP_PKEY *k = NULL;
	X509 *x;

	ERR_clear_error();
	x = parse(s, leaf);
	if (!x)
		return err_openssl(e, ERR_INVALID, "certificate");
	if (same_point(x, key))
		k = add_scalar(x, key);
	/* OpenSSL reads the extensions once, and fails to make a fingerprint then, for want of
	 * SHA-1 here. Not later: a handshake would take that error for its own. */
	(void)X509_get_extension_flags(x);
	ERR_clear_error();
	if (!k) {
		X509_free(x);
		return err_set(e, ERR_INVALID, "certificate does not match key");
	}
	*cert = x;
	*pkey = k;
	return 0;
}

int signer_check(struct signer *s, struct str leaf, const struct str *chain, size_t chain_count,
		 struct str key, struct err *e)
{
	EVP_PKEY *pkey = NULL;
	X509 *cert = NULL;
	int rc;

	for (size_t i = 0; i < chain_count; i++) {
		X509 *x;

		ERR_clear_error();
		x = parse(s, chain[i]);
		if (!x)
			return err_openssl(e, ERR_INVALID, "chain certificate %zu", i + 1);
		X509_free(x);
	}
	rc = signer_load(s, leaf, key, &cert, &pkey, e);
	EVP_PKEY_free(pkey);
	X509_free(cert);
	return rc;
}
