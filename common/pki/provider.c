#include "common/pki/provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <string.h>

#include "common/pki/ecdh.h"
#include "common/pki/hmac.h"
#include "common/pki/tls13_kdf.h"
#include "common/pki/x25519.h"

#define OURS "provider=cardea"

static const OSSL_ALGORITHM *provider_query(void *curve, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM keys[] = {
		{ECDH_KEY_TYPE, OURS, ecdh_key_functions, NULL},
		{ECDH_X25519_TYPE, OURS, ecdh_x25519_key_functions, NULL},
		{NULL, NULL, NULL, NULL},
	};
	static const OSSL_ALGORITHM exchanges[] = {
		{ECDH_KEY_TYPE, OURS, ecdh_exchange_functions, NULL},
		{ECDH_X25519_TYPE, OURS, ecdh_exchange_functions, NULL},
		{NULL, NULL, NULL, NULL},
	};
	static const OSSL_ALGORITHM kdfs[] = {
		{"TLS13-KDF", OURS, tls13_kdf_functions, NULL},
		{NULL, NULL, NULL, NULL},
	};
	static const OSSL_ALGORITHM macs[] = {
		{"HMAC", OURS, hmac_functions, NULL},
		{NULL, NULL, NULL, NULL},
	};

	(void)curve;
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_KEYMGMT:
		return keys;
	case OSSL_OP_KEYEXCH:
		return exchanges;
	case OSSL_OP_KDF:
		return kdfs;
	case OSSL_OP_MAC:
		return macs;
	default:
		return NULL;
	}
}

static int provider_capabilities(void *curve, const char *capability, OSSL_CALLBACK *take,
				 void *arg)
{
	(void)curve;
	return strcmp(capability, "TLS-GROUP") == 0 && ecdh_offer(take, arg);
}

static void provider_free(void *curve)
{
	ecdh_curve_free(curve);
}

static const OSSL_DISPATCH provider_functions[] = {
	{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))provider_query},
	{OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))provider_capabilities},
	{OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))provider_free},
	{0, NULL},
};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
			 const OSSL_DISPATCH **functions, void **context)
{
	(void)handle;
	(void)core;
	*context = ecdh_curve_new();
	*functions = provider_functions;
	return *context != NULL;
}

/* Of the process, as OpenSSL's default library context is. */
static struct {
	OSSL_PROVIDER *own, *standard;
} loaded;

static void unload(void)
{
	if (loaded.own)
		OSSL_PROVIDER_unload(loaded.own);
	x25519_release();
	if (loaded.standard)
		OSSL_PROVIDER_unload(loaded.standard);
}

/* OpenSSL takes the first provider that offers what it looks for: ours is loaded before OpenSSL's
 * own, which is not loaded by itself any more once another one is, and sorts before it too. */
int provider_install(struct err *e)
{
	ERR_clear_error();
	if (loaded.standard)
		return 0;
	if (OSSL_PROVIDER_add_builtin(NULL, "cardea", provider_init) == 1 &&
	    OPENSSL_atexit(unload) == 1)
		loaded.own = OSSL_PROVIDER_load(NULL, "cardea");
	if (loaded.own)
		loaded.standard = OSSL_PROVIDER_load(NULL, "default");
	/* Without it, OpenSSL's own way is gone. */
	if (loaded.standard && !x25519_use(loaded.standard))
		ERR_clear_error();
	return loaded.standard ? 0 : err_openssl(e, ERR_INTERNAL, "cryptography of our own");
}
