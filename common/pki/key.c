#include "common/pki/key.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "common/pki/direct.h"
#include "common/pki/pem.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, CURVE_NAME_SIZE = 64 };

static const struct {
	const char *name;
	int curve; /* or 0: RSA */
	unsigned bits;
} types[] = {
	[KEY_EC_P256] = {"ecdsa-p256", NID_X9_62_prime256v1, 0},
	[KEY_EC_P384] = {"ecdsa-p384", NID_secp384r1, 0},
	[KEY_RSA_2048] = {"rsa-2048", 0, 2048},
	[KEY_RSA_3072] = {"rsa-3072", 0, 3072},
	[KEY_RSA_4096] = {"rsa-4096", 0, 4096},
};

int key_type_parse(struct str text, enum key_type *out)
{
	for (size_t i = 0; i < array_len(types); i++) {
		if (str_eq(text, str_from(types[i].name))) {
			*out = (enum key_type)i;
			return 0;
		}
	}
	return -1;
}

const char *key_type_name(enum key_type t)
{
	return types[t].name;
}

static int generate(EVP_PKEY **out, enum key_type type, bool once, struct err *e)
{
	EVP_PKEY *key;

	if (!types[type].curve)
		key = EVP_RSA_gen(types[type].bits);
	else if (once)
		key = direct_new_key(types[type].curve);
	else
		key = EVP_EC_gen(OBJ_nid2sn(types[type].curve));
	if (!key)
		return err_openssl(e, ERR_INTERNAL, "cannot make a %s key", types[type].name);
	*out = key;
	return 0;
}

int key_generate(EVP_PKEY **out, enum key_type type, struct err *e)
{
	return generate(out, type, false, e);
}

int key_generate_once(EVP_PKEY **out, enum key_type type, struct err *e)
{
	return generate(out, type, true, e);
}

/* The algorithm that PKCS#8 bytes name, or EVP_PKEY_NONE for other forms. Naming it to OpenSSL
 * makes loading three times faster than letting it try. */
static int algorithm_of(struct str der)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.len);
	const ASN1_OBJECT *algorithm = NULL;
	int nid = EVP_PKEY_NONE;

	if (info && PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, info) == 1)
		nid = OBJ_obj2nid(algorithm);
	PKCS8_PRIV_KEY_INFO_free(info);
	return nid == EVP_PKEY_EC || nid == EVP_PKEY_RSA ? nid : EVP_PKEY_NONE;
}

int key_open(EVP_PKEY **out, struct str der, struct err *e)
{
	*out = direct_private(STR("PRIVATE KEY"), der);
	return *out ? 0 : key_from_der(out, der, e);
}

int key_from_der(EVP_PKEY **out, struct str der, struct err *e)
{
	const unsigned char *p = (const unsigned char *)der.ptr;
	EVP_PKEY *key;
	int algorithm;

	if (der.len == 0 || der.len > INT_MAX)
		return err_set(e, ERR_INVALID, "invalid key: no bytes");
	algorithm = algorithm_of(der);
	ERR_clear_error();
	if (algorithm != EVP_PKEY_NONE)
		key = d2i_PrivateKey(algorithm, NULL, &p, (long)der.len);
	else
		key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
	if (!key)
		return err_openssl(e, ERR_INVALID, "invalid key");
	ERR_clear_error(); /* the forms that were tried before the right one */
	if (p != (const unsigned char *)der.ptr + der.len) {
		EVP_PKEY_free(key);
		return err_set(e, ERR_INVALID, "invalid key: bytes after its end");
	}
	*out = key;
	return 0;
}

/* The one private key among the blocks. Others (curve parameters, certificates of a combined file)
 * are passed over. */
static int only_key(const struct pem_blocks *blocks, const struct pem_block **out, struct err *e)
{
	const struct pem_block *found = NULL;

	for (size_t i = 0; i < blocks->count; i++) {
		const struct pem_block *b = &blocks->items[i];

		if (!str_ends(str_from(b->label), STR("PRIVATE KEY")))
			continue;
		if (found)
			return err_set(e, ERR_INVALID, "a second key at PEM block %zu (line %zu)",
				       i + 1, b->line);
		found = b;
	}
	if (!found)
		return err_set(e, ERR_INVALID, "no PEM block with a private key");
	*out = found;
	return 0;
}

int key_from_pem(EVP_PKEY **out, struct str pem, struct err *e)
{
	struct pem_blocks blocks;
	const struct pem_block *block = NULL;
	int result = -1;

	if (pem_parse(&blocks, pem, e) < 0)
		return err_prefix(e, "invalid key");
	if (only_key(&blocks, &block, e) < 0)
		err_prefix(e, "invalid key");
	else
		result = key_from_der(out, buf_str(&block->der), e);
	pem_free(&blocks);
	return result;
}

int key_check_pem(struct str pem, struct err *e)
{
	struct pem_blocks blocks;
	const struct pem_block *block = NULL;
	EVP_PKEY *key = NULL;

	if (pem_parse(&blocks, pem, NULL) == 0) {
		if (only_key(&blocks, &block, NULL) == 0)
			key = direct_private(str_from(block->label), buf_str(&block->der));
		pem_free(&blocks);
	}
	if (!key && key_from_pem(&key, pem, e) < 0)
		return -1;
	EVP_PKEY_free(key);
	return 0;
}

int key_to_der(struct buf *out, EVP_PKEY *key, struct err *e)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	unsigned char *p;
	int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
	int result = -1;

	if (len <= 0) {
		err_openssl(e, ERR_INTERNAL, "cannot encode a key");
	} else if (buf_reserve(out, (size_t)len, e) < 0) {
		err_prefix(e, "encoding a key");
	} else {
		p = (unsigned char *)out->data + out->len;
		i2d_PKCS8_PRIV_KEY_INFO(info, &p);
		out->len += (size_t)len;
		out->data[out->len] = '\0';
		result = 0;
	}
	PKCS8_PRIV_KEY_INFO_free(info); /* cleanses the key's bytes */
	return result;
}

int key_to_pem(struct buf *out, EVP_PKEY *key, struct err *e)
{
	struct buf der = BUF_INIT;
	int result = -1;

	der.secret = true;
	if (key_to_der(&der, key, e) == 0)
		result = pem_write(out, "PRIVATE KEY", buf_str(&der), e);
	buf_deinit(&der);
	return result;
}

static int check_rsa(EVP_PKEY *key, struct err *e)
{
	int bits = EVP_PKEY_get_bits(key);

	if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
		return err_set(e, ERR_INVALID, "RSA key of %d bits; %d to %d are allowed", bits,
			       RSA_BITS_MIN, RSA_BITS_MAX);
	return 0;
}

static int check_ec(EVP_PKEY *key, struct err *e)
{
	char curve[CURVE_NAME_SIZE] = "unnamed";
	int from_explicit = 0;
	size_t len = 0;
	int nid;

	if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
				   &from_explicit) == 1 &&
	    from_explicit)
		return err_set(e, ERR_INVALID, "EC key with explicit curve parameters");
	if (EVP_PKEY_get_group_name(key, curve, sizeof(curve), &len) != 1)
		ERR_clear_error();
	nid = OBJ_txt2nid(curve);
	if (nid != NID_X9_62_prime256v1 && nid != NID_secp384r1 && nid != NID_secp521r1)
		return err_set(e, ERR_INVALID,
			       "EC key on curve %s; P-256, P-384 and P-521 are allowed", curve);
	return 0;
}

int key_check_strength(EVP_PKEY *key, struct err *e)
{
	const char *name;

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
		return check_rsa(key, e);
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
		return check_ec(key, e);
	name = EVP_PKEY_get0_type_name(key);
	return err_set(e, ERR_INVALID, "%s key; RSA and EC are allowed", name ? name : "unknown");
}
