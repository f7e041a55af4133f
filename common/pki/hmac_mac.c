/* HMAC as OpenSSL calls it. Happy path: digest and key come, by parameters or by init; bytes; end;
 * init without a key starts again. What is not ours is `other`'s from then on.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/pki/hmac.h"

struct mac {
	const struct sha2 *digest; /* NULL: not known yet */
	EVP_MAC_CTX *other;	   /* of the default provider; then nothing else here counts */
	bool keyed;
	bool started; /* bytes came since the last init */
	size_t key_len;
	unsigned char key[HMAC_BLOCK_MAX]; /* or its digest, which is the same key */
	struct hmac hmac;
};

static void *mac_new(void *provider)
{
	(void)provider;
	return calloc(1, sizeof(struct mac));
}

static void mac_free(void *arg)
{
	struct mac *m = arg;

	if (!m)
		return;
	EVP_MAC_CTX_free(m->other);
	OPENSSL_cleanse(m, sizeof(*m));
	free(m);
}

static void *mac_dup(void *arg)
{
	const struct mac *from = arg;
	struct mac *m = malloc(sizeof(*m));

	if (!m)
		return NULL;
	*m = *from;
	if (from->other) {
		m->other = EVP_MAC_CTX_dup(from->other);
		if (!m->other) {
			mac_free(m);
			return NULL;
		}
	}
	return m;
}

static int set_key(struct mac *m, struct str key)
{
	if (!m->digest)
		return 0;
	if (key.len > m->digest->block) {
		sha2_digest(m->digest, key, m->key);
		m->key_len = m->digest->size;
	} else {
		if (key.len > 0)
			memcpy(m->key, key.ptr, key.len);
		m->key_len = key.len;
	}
	hmac_set_key(&m->hmac, m->digest, (struct str){(const char *)m->key, m->key_len});
	m->keyed = true;
	m->started = false;
	return 1;
}

/* Takes over what is known, then the parameters that made it necessary. */
static int hand_on(struct mac *m, const OSSL_PARAM params[])
{
	EVP_MAC *mac = m->started ? NULL : EVP_MAC_fetch(NULL, "HMAC", "provider=default");
	char digest[16] = "";
	const OSSL_PARAM known[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	if (m->digest)
		snprintf(digest, sizeof(digest), "%s", m->digest->name);
	m->other = mac ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	return m->other && (!m->digest || EVP_MAC_CTX_set_params(m->other, known) == 1) &&
	       (!m->keyed || EVP_MAC_init(m->other, m->key, m->key_len, NULL) == 1) &&
	       EVP_MAC_CTX_set_params(m->other, params) == 1;
}

static bool is_ours(const OSSL_PARAM params[])
{
	static const char *const foreign[] = {
		OSSL_MAC_PARAM_PROPERTIES,
		OSSL_MAC_PARAM_DIGEST_NOINIT,
		OSSL_MAC_PARAM_DIGEST_ONESHOT,
		OSSL_MAC_PARAM_TLS_DATA_SIZE,
	};
	const OSSL_PARAM *digest = OSSL_PARAM_locate_const(params, OSSL_MAC_PARAM_DIGEST);

	for (size_t i = 0; i < array_len(foreign); i++)
		if (OSSL_PARAM_locate_const(params, foreign[i]))
			return false;
	return !digest || (digest->data && sha2_by_name(digest->data));
}

static int mac_set_params(void *arg, const OSSL_PARAM params[])
{
	struct mac *m = arg;
	const OSSL_PARAM *digest, *key;
	const void *bytes = NULL;
	size_t len = 0;

	if (!params)
		return 1;
	if (m->other)
		return EVP_MAC_CTX_set_params(m->other, params);
	if (!is_ours(params))
		return hand_on(m, params);
	digest = OSSL_PARAM_locate_const(params, OSSL_MAC_PARAM_DIGEST);
	if (digest) {
		const struct sha2 *d = sha2_by_name(digest->data);

		m->keyed = m->keyed && m->digest == d;
		m->digest = d;
	}
	key = OSSL_PARAM_locate_const(params, OSSL_MAC_PARAM_KEY);
	if (!key)
		return 1;
	return OSSL_PARAM_get_octet_string_ptr(key, &bytes, &len) == 1 &&
	       set_key(m, (struct str){bytes, len});
}

static int mac_init(void *arg, const unsigned char *key, size_t len, const OSSL_PARAM params[])
{
	struct mac *m = arg;

	if (mac_set_params(m, params) != 1)
		return 0;
	if (m->other)
		return EVP_MAC_init(m->other, key, len, NULL);
	if (key)
		return set_key(m, (struct str){(const char *)key, len});
	if (!m->keyed)
		return 0;
	hmac_start(&m->hmac);
	m->started = false;
	return 1;
}

static int mac_update(void *arg, const unsigned char *bytes, size_t len)
{
	struct mac *m = arg;

	if (m->other)
		return EVP_MAC_update(m->other, bytes, len);
	if (!m->keyed)
		return 0;
	m->started = true;
	hmac_add(&m->hmac, (struct str){(const char *)bytes, len});
	return 1;
}

static int mac_final(void *arg, unsigned char *out, size_t *len, size_t size)
{
	struct mac *m = arg;

	if (m->other)
		return EVP_MAC_final(m->other, out, len, size);
	if (!m->keyed || size < m->digest->size)
		return 0;
	hmac_end(&m->hmac, out);
	*len = m->digest->size;
	return 1;
}

static int set_size(OSSL_PARAM params[], const char *name, size_t value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return !p || OSSL_PARAM_set_size_t(p, value);
}

static int mac_get_params(void *arg, OSSL_PARAM params[])
{
	const struct mac *m = arg;

	if (m->other)
		return EVP_MAC_CTX_get_params(m->other, params);
	return set_size(params, OSSL_MAC_PARAM_SIZE, m->digest ? m->digest->size : 0) &&
	       set_size(params, OSSL_MAC_PARAM_BLOCK_SIZE, m->digest ? m->digest->block : 0);
}

static const OSSL_PARAM *mac_gettable(void *arg, void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, NULL),
		OSSL_PARAM_size_t(OSSL_MAC_PARAM_BLOCK_SIZE, NULL),
		OSSL_PARAM_END,
	};

	(void)arg;
	(void)provider;
	return params;
}

static const OSSL_PARAM *mac_settable(void *arg, void *provider)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_PROPERTIES, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, NULL, 0),
		OSSL_PARAM_int(OSSL_MAC_PARAM_DIGEST_NOINIT, NULL),
		OSSL_PARAM_int(OSSL_MAC_PARAM_DIGEST_ONESHOT, NULL),
		OSSL_PARAM_size_t(OSSL_MAC_PARAM_TLS_DATA_SIZE, NULL),
		OSSL_PARAM_END,
	};

	(void)arg;
	(void)provider;
	return params;
}

const OSSL_DISPATCH hmac_functions[] = {
	{OSSL_FUNC_MAC_NEWCTX, (void (*)(void))mac_new},
	{OSSL_FUNC_MAC_FREECTX, (void (*)(void))mac_free},
	{OSSL_FUNC_MAC_DUPCTX, (void (*)(void))mac_dup},
	{OSSL_FUNC_MAC_INIT, (void (*)(void))mac_init},
	{OSSL_FUNC_MAC_UPDATE, (void (*)(void))mac_update},
	{OSSL_FUNC_MAC_FINAL, (void (*)(void))mac_final},
	{OSSL_FUNC_MAC_GET_CTX_PARAMS, (void (*)(void))mac_get_params},
	{OSSL_FUNC_MAC_GETTABLE_CTX_PARAMS, (void (*)(void))mac_gettable},
	{OSSL_FUNC_MAC_SET_CTX_PARAMS, (void (*)(void))mac_set_params},
	{OSSL_FUNC_MAC_SETTABLE_CTX_PARAMS, (void (*)(void))mac_settable},
	{0, NULL},
};
