#include "common/pki/tls13_kdf.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/pki/hmac.h"

enum {
	LABEL_MAX = 255, /* prefix and label; the context has the same limit */
	INFO_MAX = 2 + 1 + LABEL_MAX + 1 + LABEL_MAX,
	BLOCKS_MAX = 255, /* RFC 5869 2.3 */
};

/* Parameters, which live as long as the call; a NULL ptr: not given. */
struct derivation {
	const struct sha2 *digest;
	int mode;
	struct str key, salt, prefix, label, data;
};

static bool take(const OSSL_PARAM params[], const char *name, struct str *out)
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);
	const void *bytes = NULL;

	*out = STR_NONE;
	if (!p)
		return true;
	if (OSSL_PARAM_get_octet_string_ptr(p, &bytes, &out->len) != 1)
		return false;
	/* Given and empty is not the same as not given. */
	out->ptr = bytes ? bytes : "";
	return true;
}

static bool read_params(const OSSL_PARAM params[], struct derivation *d)
{
	const OSSL_PARAM *digest, *mode;

	if (!params)
		return false;
	digest = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_DIGEST);
	mode = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_MODE);
	d->digest = digest && digest->data ? sha2_by_name(digest->data) : NULL;
	return d->digest && mode && OSSL_PARAM_get_int(mode, &d->mode) == 1 &&
	       take(params, OSSL_KDF_PARAM_KEY, &d->key) &&
	       take(params, OSSL_KDF_PARAM_SALT, &d->salt) &&
	       take(params, OSSL_KDF_PARAM_PREFIX, &d->prefix) &&
	       take(params, OSSL_KDF_PARAM_LABEL, &d->label) &&
	       take(params, OSSL_KDF_PARAM_DATA, &d->data);
}

static size_t put(unsigned char *out, size_t at, struct str s)
{
	if (s.len > 0)
		memcpy(out + at, s.ptr, s.len);
	return at + s.len;
}

/* RFC 5869 2.3 */
static void hkdf_expand(struct hmac *h, struct str info, unsigned char *out, size_t len)
{
	size_t size = h->digest->size;
	unsigned char block[HMAC_SIZE_MAX];

	for (unsigned char i = 1; len > 0; i++) {
		size_t n = len < size ? len : size;

		if (i > 1) {
			hmac_start(h);
			hmac_add(h, (struct str){(const char *)block, size});
		}
		hmac_add(h, info);
		hmac_add(h, (struct str){(const char *)&i, 1});
		hmac_end(h, block);
		memcpy(out, block, n);
		out += n;
		len -= n;
	}
	OPENSSL_cleanse(block, sizeof(block));
}

/* RFC 8446 7.1: HkdfLabel is length 2 | prefix and label <1> | data <1> */
static bool expand(const struct derivation *d, struct str key, struct str data, unsigned char *out,
		   size_t len)
{
	size_t label_len = d->prefix.len + d->label.len;
	unsigned char info[INFO_MAX];
	struct hmac h;
	size_t n = 3;

	if (label_len > LABEL_MAX || data.len > LABEL_MAX || len > BLOCKS_MAX * d->digest->size)
		return false;
	info[0] = (unsigned char)(len >> 8);
	info[1] = (unsigned char)len;
	info[2] = (unsigned char)label_len;
	n = put(info, n, d->prefix);
	n = put(info, n, d->label);
	info[n++] = (unsigned char)data.len;
	n = put(info, n, data);
	hmac_set_key(&h, d->digest, key);
	hkdf_expand(&h, (struct str){(const char *)info, n}, out, len);
	OPENSSL_cleanse(&h, sizeof(h));
	return true;
}

static bool extract(const struct derivation *d, unsigned char *out, size_t len)
{
	static const char zeros[HMAC_SIZE_MAX];
	size_t size = d->digest->size;
	unsigned char nothing[HMAC_SIZE_MAX], derived[HMAC_SIZE_MAX];
	struct str salt = {zeros, size};
	struct hmac h;

	if (len != size)
		return false;
	if (d->salt.ptr) {
		sha2_digest(d->digest, STR(""), nothing);
		if (!expand(d, d->salt, (struct str){(const char *)nothing, size}, derived, size))
			return false;
		salt.ptr = (const char *)derived;
	}
	hmac_set_key(&h, d->digest, salt);
	hmac_add(&h, d->key.ptr ? d->key : (struct str){zeros, size});
	hmac_end(&h, out);
	OPENSSL_cleanse(&h, sizeof(h));
	OPENSSL_cleanse(derived, sizeof(derived));
	return true;
}

/* There is nothing to keep, but OpenSSL wants something. */
static void *kdf_new(void *provider)
{
	(void)provider;
	return malloc(1);
}

static void kdf_reset(void *arg)
{
	(void)arg;
}

static int kdf_derive(void *arg, unsigned char *out, size_t len, const OSSL_PARAM params[])
{
	struct derivation d;

	(void)arg;
	if (!read_params(params, &d))
		return 0;
	if (d.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
		return extract(&d, out, len);
	return d.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && d.key.ptr &&
	       expand(&d, d.key, d.data, out, len);
}

static int kdf_set_params(void *arg, const OSSL_PARAM params[])
{
	(void)arg;
	return !params || !params->key;
}

static const OSSL_PARAM *kdf_settable(void *arg, void *provider)
{
	static const OSSL_PARAM none[] = {OSSL_PARAM_END};

	(void)arg;
	(void)provider;
	return none;
}

const OSSL_DISPATCH tls13_kdf_functions[] = {
	{OSSL_FUNC_KDF_NEWCTX, (void (*)(void))kdf_new},
	{OSSL_FUNC_KDF_FREECTX, (void (*)(void))free},
	{OSSL_FUNC_KDF_RESET, (void (*)(void))kdf_reset},
	{OSSL_FUNC_KDF_DERIVE, (void (*)(void))kdf_derive},
	{OSSL_FUNC_KDF_SET_CTX_PARAMS, (void (*)(void))kdf_set_params},
	{OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (void (*)(void))kdf_settable},
	{0, NULL},
};
