/* A key that is nothing but a scalar, set on a group made once, is what OpenSSL 3's own interface
 * for keys has no word for. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/pki/signer_provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/compiler.h"

#define EC_NAMES "EC:id-ecPublicKey:1.2.840.10045.2.1"

enum { POINT_SIZE = 65, BITS = 256, SECURITY_BITS = 128, SIGNATURE_MAX = 72 };

/* SubjectPublicKeyInfo of P-256 before the coordinates of an uncompressed point. */
static const unsigned char spki_head[] = {
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
	0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
};
enum { SPKI_SIZE = sizeof(spki_head) - 1 + POINT_SIZE };

struct provider {
	OSSL_FUNC_BIO_read_ex_fn *bio_read;
	EC_KEY *ec; /* the group; its scalar is set anew for each signature */
	EC_POINT *point;
	BIGNUM *scalar;
};

struct key {
	bool has_scalar;
	unsigned char scalar[SIGNER_SCALAR_SIZE];
};

/* --- decoder --- */

/* A decoder has no state of its own: the provider's context stands for it. */
static void *decoder_new(void *provider)
{
	return provider;
}

static void decoder_free(void *provider)
{
	(void)provider;
}

static int decoder_does_selection(void *provider, int selection)
{
	(void)provider;
	return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0;
}

/* Gives a new key to the caller's constructor. */
static int hand_over(OSSL_CALLBACK *construct, void *arg)
{
	struct key *key = calloc(1, sizeof(*key));
	int type = OSSL_OBJECT_PKEY;
	char name[] = "EC";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
		OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, name, 0),
		OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(key)),
		OSSL_PARAM_construct_end(),
	};
	int ok = key && construct(params, arg);

	free(key); /* NULL when it was taken */
	return ok;
}

/* Returns 1 also for what it does not know: then nothing was constructed. */
static int decode(void *decoder, OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *construct,
		  void *arg, OSSL_PASSPHRASE_CALLBACK *password, void *password_arg)
{
	const struct provider *p = decoder;
	unsigned char der[SPKI_SIZE + 1];
	size_t have = 0, n;

	(void)selection;
	(void)password;
	(void)password_arg;
	while (have < sizeof(der) && p->bio_read(in, der + have, sizeof(der) - have, &n) == 1)
		have += n;
	if (have != SPKI_SIZE || memcmp(der, spki_head, sizeof(spki_head)) != 0 /* not secret */)
		return 1;
	/* Is it on the curve? The head ends with the point's first byte. */
	if (EC_POINT_oct2point(EC_KEY_get0_group(p->ec), p->point, der + SPKI_SIZE - POINT_SIZE,
			       POINT_SIZE, NULL) != 1)
		return 1;
	return hand_over(construct, arg);
}

static const OSSL_DISPATCH decoder_functions[] = {
	{OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))decoder_new},
	{OSSL_FUNC_DECODER_FREECTX, (void (*)(void))decoder_free},
	{OSSL_FUNC_DECODER_DOES_SELECTION, (void (*)(void))decoder_does_selection},
	{OSSL_FUNC_DECODER_DECODE, (void (*)(void))decode},
	{0, NULL},
};

/* --- keys --- */

static void *key_load(const void *reference, size_t size)
{
	struct key *key = NULL;

	if (size != sizeof(struct key *))
		return NULL;
	/* The reference is the decoder's variable: clearing it takes the key. */
	memcpy(&key, reference, sizeof(struct key *));
	memset((void *)(uintptr_t)reference, 0, sizeof(struct key *));
	return key;
}

static void key_free(void *arg)
{
	struct key *key = arg;

	if (!key)
		return;
	OPENSSL_cleanse(key, sizeof(*key));
	free(key);
}

static int key_has(const void *arg, int selection)
{
	const struct key *key = arg;

	return !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || key->has_scalar;
}

static int set_int(OSSL_PARAM params[], const char *name, int value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return !p || OSSL_PARAM_set_int(p, value);
}

static int set_text(OSSL_PARAM params[], const char *name, const char *value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return !p || OSSL_PARAM_set_utf8_string(p, value);
}

static int key_get_params(void *arg, OSSL_PARAM params[])
{
	(void)arg;
	return set_int(params, OSSL_PKEY_PARAM_BITS, BITS) &&
	       set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, SECURITY_BITS) &&
	       set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, SIGNATURE_MAX) &&
	       set_text(params, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1") &&
	       set_text(params, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed") &&
	       set_text(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, "SHA256");
}

static const OSSL_PARAM *key_gettable(void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provider;
	return params;
}

static int key_set_params(void *arg, const OSSL_PARAM params[])
{
	struct key *key = arg;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY);
	void *to = key->scalar;
	size_t n;

	if (!p)
		return 1;
	if (OSSL_PARAM_get_octet_string(p, &to, sizeof(key->scalar), &n) != 1 ||
	    n != sizeof(key->scalar))
		return 0;
	key->has_scalar = true;
	return 1;
}

static const OSSL_PARAM *key_settable(void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provider;
	return params;
}

static const char *key_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const OSSL_DISPATCH key_functions[] = {
	{OSSL_FUNC_KEYMGMT_LOAD, (void (*)(void))key_load},
	{OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free},
	{OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has},
	{OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params},
	{OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))key_gettable},
	{OSSL_FUNC_KEYMGMT_SET_PARAMS, (void (*)(void))key_set_params},
	{OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, (void (*)(void))key_settable},
	{OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))key_operation},
	{0, NULL},
};

/* --- signatures --- */

struct signature {
	struct provider *provider;
	const struct key *key; /* OpenSSL keeps it as long as this */
	char digest[32];
};

static void *signature_new(void *provider, const char *properties)
{
	struct signature *s = calloc(1, sizeof(*s));

	(void)properties;
	if (s)
		s->provider = provider;
	return s;
}

static int signature_init(void *arg, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signature *s = arg;
	size_t len = digest ? strlen(digest) : 0;

	(void)params;
	if (!key || len == 0 || len >= sizeof(s->digest))
		return 0;
	s->key = key;
	memcpy(s->digest, digest, len + 1);
	return s->key->has_scalar;
}

static int sign(const struct signature *s, unsigned char *out, size_t *out_len,
		const unsigned char *digest, size_t len)
{
	struct provider *p = s->provider;
	unsigned n;

	if (!BN_bin2bn(s->key->scalar, sizeof(s->key->scalar), p->scalar) ||
	    EC_KEY_set_private_key(p->ec, p->scalar) != 1 ||
	    ECDSA_sign(0, digest, (int)len, out, &n, p->ec) != 1)
		return 0;
	*out_len = n;
	return 1;
}

static int signature_sign(void *arg, unsigned char *out, size_t *out_len, size_t out_size,
			  const unsigned char *bytes, size_t len)
{
	const struct signature *s = arg;
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t digest_len = 0;

	if (!out) {
		*out_len = SIGNATURE_MAX;
		return 1;
	}
	return out_size >= SIGNATURE_MAX &&
	       EVP_Q_digest(NULL, s->digest, NULL, bytes, len, digest, &digest_len) == 1 &&
	       sign(s, out, out_len, digest, digest_len);
}

static void signature_free(void *arg)
{
	free(arg);
}

static const OSSL_DISPATCH signature_functions[] = {
	{OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))signature_new},
	{OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))signature_init},
	{OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))signature_sign},
	{OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))signature_free},
	{0, NULL},
};

/* --- the provider --- */

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM decoders[] = {
		{EC_NAMES, "provider=signer,input=der,structure=SubjectPublicKeyInfo",
		 decoder_functions, NULL},
		{NULL, NULL, NULL, NULL},
	};
	static const OSSL_ALGORITHM keys[] = {
		{EC_NAMES, "provider=signer", key_functions, NULL},
		{NULL, NULL, NULL, NULL},
	};
	static const OSSL_ALGORITHM signatures[] = {
		{"ECDSA", "provider=signer", signature_functions, NULL},
		{NULL, NULL, NULL, NULL},
	};

	(void)provider;
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_DECODER:
		return decoders;
	case OSSL_OP_KEYMGMT:
		return keys;
	case OSSL_OP_SIGNATURE:
		return signatures;
	default:
		return NULL;
	}
}

static void provider_free(void *arg)
{
	struct provider *p = arg;

	EC_POINT_free(p->point);
	EC_KEY_free(p->ec);
	BN_clear_free(p->scalar);
	free(p);
}

static const OSSL_DISPATCH provider_functions[] = {
	{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))provider_query},
	{OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))provider_free},
	{0, NULL},
};

int signer_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
			 const OSSL_DISPATCH **functions, void **context)
{
	struct provider *p = calloc(1, sizeof(*p));

	(void)handle;
	if (!p)
		return 0;
	for (; core->function_id != 0; core++)
		if (core->function_id == OSSL_FUNC_BIO_READ_EX)
			p->bio_read = OSSL_FUNC_BIO_read_ex(core);
	p->ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	p->point = p->ec ? EC_POINT_new(EC_KEY_get0_group(p->ec)) : NULL;
	p->scalar = BN_new();
	if (!p->bio_read || !p->point || !p->scalar) {
		provider_free(p);
		return 0;
	}
	*functions = provider_functions;
	*context = p;
	return 1;
}
