/* Written by hand, so that encoder and decoder are not the same code. */
#include "tests/unit/lib/testchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { ID_SIZE = 16, WIRE_VARINT = 0, WIRE_BYTES = 2 };

/* Field numbers of proto/cardea/v1/fleet.proto. */
enum { CHANGE_ID = 1, CHANGE_CERT = 2, CHANGE_SNI_ = 3, CHANGE_CHALL = 4, CHANGE_TICKET = 5 };
enum { CHANGE_HELD = 14, CHANGE_REMOVED = 15 };

static void varint(struct buf *out, uint64_t v)
{
	do {
		unsigned char byte = (unsigned char)((v & 127) | (v > 127 ? 128 : 0));

		assert_int_equal(buf_add(out, &byte, 1, NULL), 0);
		v >>= 7;
	} while (v > 0);
}

static void field(struct buf *out, unsigned number, struct str bytes)
{
	varint(out, number << 3 | WIRE_BYTES);
	varint(out, bytes.len);
	assert_int_equal(buf_add_str(out, bytes, NULL), 0);
}

static void id_field(struct buf *out, unsigned number, unsigned id)
{
	char bytes[ID_SIZE];

	memset(bytes, (int)id, sizeof(bytes));
	field(out, number, (struct str){bytes, sizeof(bytes)});
}

/* The Change around an entity; frees the entity's buffer. */
static struct str change(struct buf *out, unsigned id, unsigned number, struct buf *entity)
{
	buf_clear(out);
	id_field(out, CHANGE_ID, id);
	field(out, number, buf_str(entity));
	buf_deinit(entity);
	return buf_str(out);
}

struct str testchange_certificate(struct buf *out, unsigned id, const struct testpair *pairs,
				  size_t n)
{
	struct buf cert = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		struct buf pair = BUF_INIT;

		field(&pair, 1, pairs[i].leaf);
		for (size_t k = 0; k < pairs[i].chain_count; k++)
			field(&pair, 2, pairs[i].chain[k]);
		field(&pair, 3, pairs[i].key);
		field(&cert, 1, buf_str(&pair));
		buf_deinit(&pair);
	}
	return change(out, id, CHANGE_CERT, &cert);
}

struct str testchange_sni(struct buf *out, unsigned id, const char *name, unsigned certificate_id)
{
	struct buf sni = BUF_INIT;

	field(&sni, 1, str_from(name));
	id_field(&sni, 2, certificate_id);
	return change(out, id, CHANGE_SNI_, &sni);
}

struct str testchange_challenge(struct buf *out, unsigned id, const char *host, const char *token,
				const char *key_authorization)
{
	struct buf c = BUF_INIT;

	field(&c, 1, str_from(host));
	field(&c, 2, str_from(token));
	field(&c, 3, str_from(key_authorization));
	return change(out, id, CHANGE_CHALL, &c);
}

struct str testchange_ticket(struct buf *out, unsigned id, unsigned secret, int64_t not_before)
{
	struct buf t = BUF_INIT;
	char bytes[32];

	memset(bytes, (int)secret, sizeof(bytes));
	field(&t, 1, (struct str){bytes, sizeof(bytes)});
	varint(&t, 2 << 3 | WIRE_VARINT);
	varint(&t, (uint64_t)not_before);
	return change(out, id, CHANGE_TICKET, &t);
}

struct str testchange_removed(struct buf *out, unsigned id, const char *kind)
{
	struct buf r = BUF_INIT;

	field(&r, 1, str_from(kind));
	return change(out, id, CHANGE_REMOVED, &r);
}

struct str testchange_held(struct buf *out, unsigned id, const char *kind)
{
	struct buf h = BUF_INIT;

	field(&h, 1, str_from(kind));
	return change(out, id, CHANGE_HELD, &h);
}

struct str testder_cert(struct buf *out, X509 *cert)
{
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);

	assert_true(n > 0);
	assert_int_equal(buf_add(out, der, (size_t)n, NULL), 0);
	OPENSSL_free(der);
	return buf_str(out);
}

struct str testder_key(struct buf *out, EVP_PKEY *key)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	unsigned char *der = NULL;
	int n;

	assert_non_null(info);
	n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	assert_true(n > 0);
	assert_int_equal(buf_add(out, der, (size_t)n, NULL), 0);
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(info);
	return buf_str(out);
}
