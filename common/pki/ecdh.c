/* Happy path, server: a key without anything is made, and gets the peer's point (key_set_params);
 * one with scalar and point is generated; both go into the exchange, which multiplies.
 * Failure paths: a point that is not an uncompressed one on the curve is refused where it is set,
 * so that nothing later sees one.
 *
 * The curve is read by all threads and written by none.
 */
#include "common/pki/ecdh.h"

#include <openssl/bn.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/prov_ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/compiler.h"
#include "common/pki/x25519.h"

enum {
	POINT_SIZE = 65, /* 4, x, y of P-256, the larger one */
	SCALAR_SIZE = 32,
	SECRET_SIZE = 32, /* x or u of the shared point */
	SECURITY_BITS = 128,
};

struct ecdh_curve {
	EC_GROUP *group;
};

struct key;

/* What P-256 and X25519 do differently. */
struct kind {
	const char *type;  /* of keys */
	const char *group; /* OpenSSL's name of its parameters */
	size_t point_size;
	int bits;
	unsigned group_id; /* of TLS */
	bool (*is_point)(const struct ecdh_curve *c, const unsigned char *point);
	/* Point and scalar. */
	bool (*generate)(struct key *k);
	bool (*multiply)(const struct key *own, const struct key *peer,
			 unsigned char out[SECRET_SIZE]);
};

/* Parameters are the kind's: a key without point and scalar has them too. */
struct key {
	const struct kind *kind;
	const struct ecdh_curve *curve;
	bool has_point, has_scalar;
	unsigned char point[POINT_SIZE];
	unsigned char scalar[SCALAR_SIZE];
};

/* --- arithmetic --- */

/* What one multiplication needs; all of it may be secret. */
struct scratch {
	BN_CTX *bn;
	BIGNUM *scalar;
	EC_POINT *in, *out;
};

static bool scratch_init(struct scratch *s, const struct ecdh_curve *c)
{
	s->bn = BN_CTX_new();
	s->scalar = BN_new();
	s->in = EC_POINT_new(c->group);
	s->out = EC_POINT_new(c->group);
	if (!s->bn || !s->scalar || !s->in || !s->out)
		return false;
	BN_set_flags(s->scalar, BN_FLG_CONSTTIME);
	return true;
}

static void scratch_deinit(struct scratch *s)
{
	EC_POINT_clear_free(s->out);
	EC_POINT_free(s->in);
	BN_clear_free(s->scalar);
	BN_CTX_free(s->bn);
}

static bool is_on_curve(const struct ecdh_curve *c, const unsigned char *point)
{
	EC_POINT *p = EC_POINT_new(c->group);
	/* This checks the curve's equation, and that the coordinates are below its prime. */
	bool ok = p && point[0] == POINT_CONVERSION_UNCOMPRESSED &&
		  EC_POINT_oct2point(c->group, p, point, POINT_SIZE, NULL) == 1;

	EC_POINT_free(p);
	return ok;
}

static bool put_point(const struct ecdh_curve *c, struct scratch *s, unsigned char out[POINT_SIZE])
{
	return EC_POINT_point2oct(c->group, s->out, POINT_CONVERSION_UNCOMPRESSED, out, POINT_SIZE,
				  s->bn) == POINT_SIZE;
}

static bool p256_generate(struct key *k)
{
	const struct ecdh_curve *c = k->curve;
	const BIGNUM *order = EC_GROUP_get0_order(c->group);
	struct scratch s;
	bool ok = scratch_init(&s, c);

	do
		ok = ok && BN_priv_rand_range_ex(s.scalar, order, 0, s.bn) == 1;
	while (ok && BN_is_zero(s.scalar));
	ok = ok && BN_bn2binpad(s.scalar, k->scalar, SCALAR_SIZE) == SCALAR_SIZE &&
	     EC_POINT_mul(c->group, s.out, s.scalar, NULL, NULL, s.bn) == 1 &&
	     put_point(c, &s, k->point);
	scratch_deinit(&s);
	return ok;
}

static bool p256_multiply(const struct key *own, const struct key *peer,
			  unsigned char out[SECRET_SIZE])
{
	const struct ecdh_curve *c = own->curve;
	unsigned char point[POINT_SIZE];
	struct scratch s;
	bool ok = scratch_init(&s, c) && BN_bin2bn(own->scalar, SCALAR_SIZE, s.scalar) &&
		  EC_POINT_oct2point(c->group, s.in, peer->point, POINT_SIZE, s.bn) == 1 &&
		  EC_POINT_mul(c->group, s.out, NULL, s.in, s.scalar, s.bn) == 1 &&
		  put_point(c, &s, point);

	if (ok)
		memcpy(out, point + 1, SECRET_SIZE);
	OPENSSL_cleanse(point, sizeof(point));
	scratch_deinit(&s);
	return ok;
}

/* Every string of bytes is one; a bad one is a product of zero (RFC 7748 sections 5 and 6.1). */
static bool is_u(const struct ecdh_curve *c, const unsigned char *point)
{
	(void)c;
	(void)point;
	return true;
}

static bool x25519_generate(struct key *k)
{
	return x25519_pair(k->scalar, k->point);
}

static bool x25519_secret(const struct key *own, const struct key *peer,
			  unsigned char out[SECRET_SIZE])
{
	return x25519_multiply(out, own->scalar, peer->point);
}

static const struct kind p256 = {
	ECDH_KEY_TYPE, "prime256v1", POINT_SIZE, 256, 23, is_on_curve, p256_generate, p256_multiply,
};
static const struct kind x25519 = {
	ECDH_X25519_TYPE, "X25519", X25519_SIZE, 253, 29, is_u, x25519_generate, x25519_secret,
};

/* --- keys --- */

static struct key *key_make(const struct kind *kind, const struct ecdh_curve *curve)
{
	struct key *k = calloc(1, sizeof(*k));

	if (k) {
		k->kind = kind;
		k->curve = curve;
	}
	return k;
}

static void *p256_new(void *curve)
{
	return key_make(&p256, curve);
}

static void *x25519_new(void *curve)
{
	return key_make(&x25519, curve);
}

static void key_free(void *arg)
{
	if (arg)
		OPENSSL_cleanse(arg, sizeof(struct key));
	free(arg);
}

/* OpenSSL asks about keys that are not there yet, too. */
static int key_has(const void *arg, int selection)
{
	const struct key *k = arg;

	return k && (k->has_point || !(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY)) &&
	       (k->has_scalar || !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY));
}

/* What has a point was checked when it got it. */
static int key_validate(const void *arg, int selection, int how)
{
	(void)how;
	return key_has(arg, selection);
}

static int key_match(const void *a, const void *b, int selection)
{
	const struct key *x = a, *y = b;

	return !(selection & OSSL_KEYMGMT_SELECT_KEYPAIR) ||
	       (x->has_point && y->has_point &&
		memcmp(x->point, y->point, x->kind->point_size) == 0 /* not secret */);
}

static void *key_dup(const void *arg, int selection)
{
	const struct key *from = arg;
	struct key *k = key_make(from->kind, from->curve);

	if (!k)
		return NULL;
	if (from->has_point && (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY)) {
		memcpy(k->point, from->point, POINT_SIZE);
		k->has_point = true;
	}
	if (from->has_scalar && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)) {
		memcpy(k->scalar, from->scalar, SCALAR_SIZE);
		k->has_scalar = true;
	}
	return k;
}

static int set_int(OSSL_PARAM params[], const char *name, int value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return !p || OSSL_PARAM_set_int(p, value);
}

static int key_get_params(void *arg, OSSL_PARAM params[])
{
	const struct key *k = arg;
	OSSL_PARAM *group = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_GROUP_NAME);
	OSSL_PARAM *point = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);

	return set_int(params, OSSL_PKEY_PARAM_BITS, k->kind->bits) &&
	       set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, SECURITY_BITS) &&
	       set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, SECRET_SIZE) &&
	       (!group || OSSL_PARAM_set_utf8_string(group, k->kind->group)) &&
	       (!point || (k->has_point &&
			   OSSL_PARAM_set_octet_string(point, k->point, k->kind->point_size)));
}

static const OSSL_PARAM *key_gettable(void *curve)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)curve;
	return params;
}

/* The peer's share. */
static int key_set_params(void *arg, const OSSL_PARAM params[])
{
	struct key *k = arg;
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);

	if (!p)
		return 1;
	if (k->has_scalar || p->data_type != OSSL_PARAM_OCTET_STRING ||
	    p->data_size != k->kind->point_size || !k->kind->is_point(k->curve, p->data))
		return 0;
	memcpy(k->point, p->data, p->data_size);
	k->has_point = true;
	return 1;
}

static const OSSL_PARAM *key_settable(void *curve)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)curve;
	return params;
}

static const char *p256_operation(int operation)
{
	return operation == OSSL_OP_KEYEXCH ? p256.type : NULL;
}

static const char *x25519_operation(int operation)
{
	return operation == OSSL_OP_KEYEXCH ? x25519.type : NULL;
}

/* What is generated: a pair, or a key that has parameters only. */
struct generation {
	const struct kind *kind;
	const struct ecdh_curve *curve;
	bool pair;
};

static void *generation_make(const struct kind *kind, void *curve, int selection)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->kind = kind;
	g->curve = curve;
	g->pair = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0;
	return g;
}

static void *p256_generation(void *curve, int selection, const OSSL_PARAM params[])
{
	(void)params;
	return generation_make(&p256, curve, selection);
}

static void *x25519_generation(void *curve, int selection, const OSSL_PARAM params[])
{
	(void)params;
	return generation_make(&x25519, curve, selection);
}

/* All keys of a kind are of one curve: a template and the group's name say nothing new. */
static int generation_set_template(void *arg, void *key)
{
	(void)arg;
	(void)key;
	return 1;
}

static int generation_set_params(void *arg, const OSSL_PARAM params[])
{
	(void)arg;
	(void)params;
	return 1;
}

static const OSSL_PARAM *generation_settable(void *arg, void *curve)
{
	static const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)arg;
	(void)curve;
	return params;
}

static void *generate(void *arg, OSSL_CALLBACK *progress, void *progress_arg)
{
	const struct generation *g = arg;
	struct key *k = key_make(g->kind, g->curve);

	(void)progress;
	(void)progress_arg;
	if (!k || !g->pair)
		return k;
	if (!k->kind->generate(k)) {
		key_free(k);
		return NULL;
	}
	k->has_scalar = k->has_point = true;
	return k;
}

/* What both kinds of keys have. */
#define COMMON_KEY_FUNCTIONS                                                                       \
	{OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free},                                        \
		{OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has},                                  \
		{OSSL_FUNC_KEYMGMT_VALIDATE, (void (*)(void))key_validate},                        \
		{OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))key_match},                              \
		{OSSL_FUNC_KEYMGMT_DUP, (void (*)(void))key_dup},                                  \
		{OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params},                    \
		{OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))key_gettable},                 \
		{OSSL_FUNC_KEYMGMT_SET_PARAMS, (void (*)(void))key_set_params},                    \
		{OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, (void (*)(void))key_settable},                 \
		{OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE, (void (*)(void))generation_set_template},     \
		{OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, (void (*)(void))generation_set_params},         \
		{OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, (void (*)(void))generation_settable},      \
		{OSSL_FUNC_KEYMGMT_GEN, (void (*)(void))generate},                                 \
	{                                                                                          \
		OSSL_FUNC_KEYMGMT_GEN_CLEANUP, (void (*)(void))free                                \
	}

const OSSL_DISPATCH ecdh_key_functions[] = {
	{OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))p256_new},
	{OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))p256_operation},
	{OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))p256_generation},
	COMMON_KEY_FUNCTIONS,
	{0, NULL},
};

const OSSL_DISPATCH ecdh_x25519_key_functions[] = {
	{OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))x25519_new},
	{OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))x25519_operation},
	{OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))x25519_generation},
	COMMON_KEY_FUNCTIONS,
	{0, NULL},
};

/* --- the exchange --- */

/* OpenSSL keeps both keys as long as this. */
struct exchange {
	const struct key *own, *peer;
};

static void *exchange_new(void *curve)
{
	(void)curve;
	return calloc(1, sizeof(struct exchange));
}

static int exchange_init(void *arg, void *key, const OSSL_PARAM params[])
{
	struct exchange *x = arg;

	(void)params;
	if (!key_has(key, OSSL_KEYMGMT_SELECT_PRIVATE_KEY))
		return 0;
	*x = (struct exchange){.own = key};
	return 1;
}

static int exchange_set_peer(void *arg, void *key)
{
	struct exchange *x = arg;

	if (!key_has(key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY))
		return 0;
	x->peer = key;
	return 1;
}

static int exchange_derive(void *arg, unsigned char *out, size_t *len, size_t size)
{
	const struct exchange *x = arg;

	*len = SECRET_SIZE;
	if (!out)
		return 1;
	return size >= SECRET_SIZE && x->own && x->peer && x->own->kind == x->peer->kind &&
	       x->own->kind->multiply(x->own, x->peer, out);
}

const OSSL_DISPATCH ecdh_exchange_functions[] = {
	{OSSL_FUNC_KEYEXCH_NEWCTX, (void (*)(void))exchange_new},
	{OSSL_FUNC_KEYEXCH_INIT, (void (*)(void))exchange_init},
	{OSSL_FUNC_KEYEXCH_SET_PEER, (void (*)(void))exchange_set_peer},
	{OSSL_FUNC_KEYEXCH_DERIVE, (void (*)(void))exchange_derive},
	{OSSL_FUNC_KEYEXCH_FREECTX, (void (*)(void))free},
	{0, NULL},
};

/* --- the curve and its group --- */

struct ecdh_curve *ecdh_curve_new(void)
{
	struct ecdh_curve *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	if (!c->group) {
		free(c);
		return NULL;
	}
	return c;
}

void ecdh_curve_free(struct ecdh_curve *c)
{
	EC_GROUP_free(c->group);
	free(c);
}

static int offer_group(const struct kind *kind, const char *name, OSSL_CALLBACK *take, void *arg)
{
	unsigned id = kind->group_id, security_bits = SECURITY_BITS;
	int min_tls = TLS1_VERSION, min_dtls = DTLS1_VERSION, any = 0;
	char tls_name[16], real_name[16], type[16];
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME, tls_name, 0),
		OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, real_name,
						 0),
		OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_ID, &id),
		OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_ALG, type, 0),
		OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &security_bits),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, &min_tls),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, &any),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS, &min_dtls),
		OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS, &any),
		OSSL_PARAM_construct_end(),
	};

	snprintf(tls_name, sizeof(tls_name), "%s", name);
	snprintf(real_name, sizeof(real_name), "%s", kind->group);
	snprintf(type, sizeof(type), "%s", kind->type);
	return take(params, arg);
}

int ecdh_offer(OSSL_CALLBACK *take, void *arg)
{
	return offer_group(&p256, "secp256r1", take, arg) &&
	       offer_group(&p256, "P-256", take, arg) &&
	       (!x25519_is_there() || offer_group(&x25519, "x25519", take, arg));
}
