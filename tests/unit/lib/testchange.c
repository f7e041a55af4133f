#include "tests/unit/lib/testchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cardea/v1/fleet.pb-c.h"

enum { ID_SIZE = 16 };

static struct str pack(struct buf *out, unsigned id, Cardea__V1__Change *c)
{
	uint8_t bytes[ID_SIZE];
	struct err e = ERR_INIT;
	size_t n;

	memset(bytes, (int)id, sizeof(bytes));
	c->id = (ProtobufCBinaryData){sizeof(bytes), bytes};
	n = cardea__v1__change__get_packed_size(c);
	buf_clear(out);
	assert_int_equal(buf_reserve(out, n, &e), 0);
	out->len = cardea__v1__change__pack(c, (uint8_t *)out->data);
	return buf_str(out);
}

static ProtobufCBinaryData data(struct str s)
{
	return (ProtobufCBinaryData){s.len, (uint8_t *)(uintptr_t)s.ptr};
}

struct str testchange_certificate(struct buf *out, unsigned id, const struct testpair *pairs,
				  size_t n)
{
	Cardea__V1__Change c;
	Cardea__V1__Certificate cert;
	Cardea__V1__KeyPair made[3];
	Cardea__V1__KeyPair *list[3];
	ProtobufCBinaryData chain[3][12];

	cardea__v1__change__init(&c);
	cardea__v1__certificate__init(&cert);
	assert_true(n <= 3);
	for (size_t i = 0; i < n; i++) {
		cardea__v1__key_pair__init(&made[i]);
		made[i].leaf = data(pairs[i].leaf);
		made[i].key = data(pairs[i].key);
		assert_true(pairs[i].chain_count <= 12);
		for (size_t k = 0; k < pairs[i].chain_count; k++)
			chain[i][k] = data(pairs[i].chain[k]);
		made[i].n_chain = pairs[i].chain_count;
		made[i].chain = chain[i];
		list[i] = &made[i];
	}
	cert.n_pairs = n;
	cert.pairs = list;
	c.entity_case = CARDEA__V1__CHANGE__ENTITY_CERTIFICATE;
	c.certificate = &cert;
	return pack(out, id, &c);
}

struct str testchange_sni(struct buf *out, unsigned id, const char *name, unsigned certificate_id)
{
	Cardea__V1__Change c;
	Cardea__V1__Sni s;
	uint8_t cert[ID_SIZE];

	cardea__v1__change__init(&c);
	cardea__v1__sni__init(&s);
	memset(cert, (int)certificate_id, sizeof(cert));
	s.name = (char *)(uintptr_t)name;
	s.certificate_id = (ProtobufCBinaryData){sizeof(cert), cert};
	c.entity_case = CARDEA__V1__CHANGE__ENTITY_SNI;
	c.sni = &s;
	return pack(out, id, &c);
}

struct str testchange_challenge(struct buf *out, unsigned id, const char *host, const char *token,
				const char *key_authorization)
{
	Cardea__V1__Change c;
	Cardea__V1__Challenge s;

	cardea__v1__change__init(&c);
	cardea__v1__challenge__init(&s);
	s.host = (char *)(uintptr_t)host;
	s.token = (char *)(uintptr_t)token;
	s.key_authorization = (char *)(uintptr_t)key_authorization;
	c.entity_case = CARDEA__V1__CHANGE__ENTITY_CHALLENGE;
	c.challenge = &s;
	return pack(out, id, &c);
}

struct str testchange_ticket(struct buf *out, unsigned id, unsigned secret, int64_t not_before)
{
	Cardea__V1__Change c;
	Cardea__V1__TicketSecret t;
	uint8_t bytes[32];

	cardea__v1__change__init(&c);
	cardea__v1__ticket_secret__init(&t);
	memset(bytes, (int)secret, sizeof(bytes));
	t.secret = (ProtobufCBinaryData){sizeof(bytes), bytes};
	t.not_before = not_before;
	c.entity_case = CARDEA__V1__CHANGE__ENTITY_TICKET_SECRET;
	c.ticket_secret = &t;
	return pack(out, id, &c);
}

struct str testchange_removed(struct buf *out, unsigned id, const char *kind)
{
	Cardea__V1__Change c;
	Cardea__V1__Removed r;

	cardea__v1__change__init(&c);
	cardea__v1__removed__init(&r);
	r.kind = (char *)(uintptr_t)kind;
	c.entity_case = CARDEA__V1__CHANGE__ENTITY_REMOVED;
	c.removed = &r;
	return pack(out, id, &c);
}

struct str testder_cert(struct buf *out, X509 *cert)
{
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);
	struct err e = ERR_INIT;

	assert_true(n > 0);
	assert_int_equal(buf_add(out, der, (size_t)n, &e), 0);
	OPENSSL_free(der);
	return buf_str(out);
}

struct str testder_key(struct buf *out, EVP_PKEY *key)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	unsigned char *der = NULL;
	struct err e = ERR_INIT;
	int n;

	assert_non_null(info);
	n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	assert_true(n > 0);
	assert_int_equal(buf_add(out, der, (size_t)n, &e), 0);
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(info);
	return buf_str(out);
}
