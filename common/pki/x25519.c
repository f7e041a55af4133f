#include "common/pki/x25519.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#include "common/core/str.h"

/* Of the process, as providers are. */
static struct {
	void *context; /* the provider's */
	OSSL_FUNC_keymgmt_new_fn *key_new;
	OSSL_FUNC_keymgmt_import_fn *key_import;
	OSSL_FUNC_keymgmt_free_fn *key_free;
	OSSL_FUNC_keyexch_newctx_fn *exchange_new;
	OSSL_FUNC_keyexch_init_fn *exchange_init;
	OSSL_FUNC_keyexch_set_peer_fn *exchange_set_peer;
	OSSL_FUNC_keyexch_derive_fn *exchange_derive;
	OSSL_FUNC_keyexch_freectx_fn *exchange_free;
	void *base; /* key of the base point; NULL: nothing here is there */
} inner;

static const unsigned char base_point[X25519_SIZE] = {9};

/* --- the provider's functions --- */

static const OSSL_DISPATCH *functions(OSSL_PROVIDER *provider, int operation)
{
	const OSSL_ALGORITHM *all;
	const OSSL_DISPATCH *found = NULL;
	struct str names, name;
	int no_cache = 0;

	all = OSSL_PROVIDER_query_operation(provider, operation, &no_cache);
	for (const OSSL_ALGORITHM *a = all; a && a->algorithm_names && !found; a++) {
		names = str_from(a->algorithm_names);
		while (!found && names.len > 0 && str_split(&names, ':', &name))
			if (str_ieq(name, STR("X25519")))
				found = a->implementation;
	}
	OSSL_PROVIDER_unquery_operation(provider, operation, all);
	return found;
}

static bool take_keys(const OSSL_DISPATCH *f)
{
	for (; f && f->function_id; f++) {
		if (f->function_id == OSSL_FUNC_KEYMGMT_NEW)
			inner.key_new = OSSL_FUNC_keymgmt_new(f);
		else if (f->function_id == OSSL_FUNC_KEYMGMT_IMPORT)
			inner.key_import = OSSL_FUNC_keymgmt_import(f);
		else if (f->function_id == OSSL_FUNC_KEYMGMT_FREE)
			inner.key_free = OSSL_FUNC_keymgmt_free(f);
	}
	return inner.key_new && inner.key_import && inner.key_free;
}

static bool take_exchange(const OSSL_DISPATCH *f)
{
	for (; f && f->function_id; f++) {
		if (f->function_id == OSSL_FUNC_KEYEXCH_NEWCTX)
			inner.exchange_new = OSSL_FUNC_keyexch_newctx(f);
		else if (f->function_id == OSSL_FUNC_KEYEXCH_INIT)
			inner.exchange_init = OSSL_FUNC_keyexch_init(f);
		else if (f->function_id == OSSL_FUNC_KEYEXCH_SET_PEER)
			inner.exchange_set_peer = OSSL_FUNC_keyexch_set_peer(f);
		else if (f->function_id == OSSL_FUNC_KEYEXCH_DERIVE)
			inner.exchange_derive = OSSL_FUNC_keyexch_derive(f);
		else if (f->function_id == OSSL_FUNC_KEYEXCH_FREECTX)
			inner.exchange_free = OSSL_FUNC_keyexch_freectx(f);
	}
	return inner.exchange_new && inner.exchange_init && inner.exchange_set_peer &&
	       inner.exchange_derive && inner.exchange_free;
}

/* --- keys --- */

/* OpenSSL's parameters are not const, and what is in them is only read. */
static void *writable(const unsigned char *bytes)
{
	return (void *)(uintptr_t)bytes;
}

/* scalar may be NULL. What stands as the point of a scalar is not looked at; without one, OpenSSL
 * would make it. */
static void *key_of(const unsigned char *scalar, const unsigned char *point)
{
	void *key = inner.key_new(inner.context);
	int selection = OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
	OSSL_PARAM params[3], *p = params;

	if (!key)
		return NULL;
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, writable(point),
						 X25519_SIZE);
	if (scalar) {
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, writable(scalar),
							 X25519_SIZE);
		selection = OSSL_KEYMGMT_SELECT_KEYPAIR;
	}
	*p = OSSL_PARAM_construct_end();
	if (inner.key_import(key, selection, params) == 1)
		return key;
	inner.key_free(key);
	return NULL;
}

static bool derive(void *own, void *peer, unsigned char out[X25519_SIZE])
{
	void *x = inner.exchange_new(inner.context);
	size_t len = X25519_SIZE;
	bool ok = x && inner.exchange_init(x, own, NULL) == 1 &&
		  inner.exchange_set_peer(x, peer) == 1 &&
		  inner.exchange_derive(x, out, &len, X25519_SIZE) == 1 && len == X25519_SIZE;

	if (x)
		inner.exchange_free(x);
	return ok;
}

static bool multiply_key(unsigned char out[X25519_SIZE], const unsigned char scalar[X25519_SIZE],
			 void *peer)
{
	void *own = key_of(scalar, base_point);
	bool ok = own && peer && derive(own, peer, out);

	if (own)
		inner.key_free(own);
	return ok;
}

/* --- what others call --- */

bool x25519_use(OSSL_PROVIDER *provider)
{
	if (inner.base)
		return true;
	inner.context = OSSL_PROVIDER_get0_provider_ctx(provider);
	if (take_keys(functions(provider, OSSL_OP_KEYMGMT)) &&
	    take_exchange(functions(provider, OSSL_OP_KEYEXCH)))
		inner.base = key_of(NULL, base_point);
	return inner.base != NULL;
}

void x25519_release(void)
{
	if (inner.base)
		inner.key_free(inner.base);
	memset(&inner, 0, sizeof(inner));
}

bool x25519_is_there(void)
{
	return inner.base != NULL;
}

bool x25519_pair(unsigned char scalar[X25519_SIZE], unsigned char point[X25519_SIZE])
{
	return RAND_priv_bytes(scalar, X25519_SIZE) == 1 && multiply_key(point, scalar, inner.base);
}

bool x25519_multiply(unsigned char out[X25519_SIZE], const unsigned char scalar[X25519_SIZE],
		     const unsigned char point[X25519_SIZE])
{
	void *peer = key_of(NULL, point);
	bool ok = peer && multiply_key(out, scalar, peer);

	if (peer)
		inner.key_free(peer);
	return ok;
}
