#include "data-plane/tls/signer.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>

#include "data-plane/tls/signer_provider.h"

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
enum { KEY_SIZE = 138 };

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
	return key.len == KEY_SIZE && memcmp(key.ptr, head, sizeof(head)) == 0 /* not secret */;
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

int signer_load(struct signer *s, struct str leaf, struct str key, X509 **cert, EVP_PKEY **pkey,
		struct err *e)
{
	const unsigned char *p = (const unsigned char *)leaf.ptr;
	X509 *x;
	EVP_PKEY *k = NULL;

	/* That this library context has no SHA-1 for a fingerprint leaves an error behind, which
	 * the handshake would take for its own. */
	ERR_set_mark();
	x = X509_new_ex(s->context, NULL);
	if (x && d2i_X509(&x, &p, (long)leaf.len))
		k = add_scalar(x, key);
	if (!k) {
		ERR_clear_last_mark();
		X509_free(x);
		return err_openssl(e, ERR_INVALID, "packed P-256 certificate");
	}
	ERR_pop_to_mark();
	*cert = x;
	*pkey = k;
	return 0;
}
