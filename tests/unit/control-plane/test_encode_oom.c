/* Stream messages while the n-th allocation fails: an error, nothing leaked, nothing half made. */
#include "control-plane/fleet/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cardea/v1/fleet.pb-c.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testcert.h"

#define ID "6f1c2a34-0000-4000-8000-0000000000aa"

static json_t *certificate_row(void)
{
	const struct testcert_options o = {.san = "DNS:a.example"};
	struct buf chain = BUF_INIT, key_text = {.secret = true};
	struct testca ca;
	EVP_PKEY *key;
	X509 *leaf;
	json_t *row;

	testca_init(&ca, "ca");
	testcert_issue(&ca, &o, &leaf, &key);
	assert_int_equal(cert_to_pem(&chain, leaf, NULL), 0);
	assert_int_equal(cert_to_pem(&chain, ca.cert, NULL), 0);
	assert_int_equal(key_to_pem(&key_text, key, NULL), 0);
	row = json_pack("{s:s, s:s}", "cert", chain.data, "key", key_text.data);
	buf_deinit(&chain);
	buf_deinit(&key_text);
	X509_free(leaf);
	EVP_PKEY_free(key);
	testca_deinit(&ca);
	return row;
}

struct change {
	const struct entity *entity;
	json_t *row; /* NULL: removed */
};

static void encode_one(void *arg)
{
	static const unsigned char id[16] = {1};
	const struct change *x = arg;
	struct encoded *c = NULL;
	struct err e = ERR_INIT;

	if (encode_change(&c, x->entity, id, x->row, &e) < 0) {
		assert_int_equal(e.kind, ERR_MEMORY);
		assert_null(c);
	}
	encoded_free(c);
}

static void test_changes(void **state)
{
	struct change changes[] = {
		{&entity_certificates, certificate_row()},
		{&entity_snis,
		 json_pack("{s:s, s:{s:s}}", "name", "a.example", "certificate", "id", ID)},
		{&entity_acme_challenges, json_pack("{s:s, s:s, s:s}", "host", "a.example", "token",
						    "t", "key_authorization", "t.k")},
		{&entity_ticket_secrets,
		 json_pack("{s:s, s:i}", "secret",
			   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			   "not_before", 86400)},
		{&entity_snis, NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(changes); i++) {
		assert_true(oom_each(encode_one, &changes[i]) > 0);
		json_decref(changes[i].row);
	}
}

/* What stood in the buffer stays; a message is appended whole or not at all. */
static void append(void *arg)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	size_t before;
	int rc;

	(void)arg;
	rc = encode_snapshot_begin(&b, "epoch", 1, 2, &e);
	before = b.len;
	assert_int_equal(before > 0, rc == 0);
	rc = encode_commit(&b, "epoch", 2, 1, &e);
	assert_int_equal(b.len > before, rc == 0);
	if (e.kind != ERR_NONE)
		assert_int_equal(e.kind, ERR_MEMORY);
	buf_deinit(&b);
}

static void test_begin_and_commit(void **state)
{
	(void)state;
	assert_true(oom_each(append, NULL) > 0);
}

static void decode_one(void *arg)
{
	const struct buf *bytes = arg;
	struct node_message m;
	struct err e = ERR_INIT;

	if (node_message_decode(&m, buf_str(bytes), &e) == 0)
		node_message_free(&m);
	else
		assert_int_equal(e.kind, ERR_MEMORY);
}

static void test_node_messages(void **state)
{
	Cardea__V1__NodeMessage m;
	Cardea__V1__Hello hello;
	Cardea__V1__Nack nack;
	char id[] = ID, name[] = "n", why[] = "why";
	unsigned char bytes[512];
	struct buf b = {.data = (char *)bytes};

	(void)state;
	cardea__v1__node_message__init(&m);
	cardea__v1__hello__init(&hello);
	cardea__v1__nack__init(&nack);
	hello.node_id = id;
	hello.hostname = name;
	hello.version = name;
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_HELLO;
	m.hello = &hello;
	b.len = cardea__v1__node_message__pack(&m, bytes);
	oom_each(decode_one, &b);
	nack.revision = 3;
	nack.reason = why;
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_NACK;
	m.nack = &nack;
	b.len = cardea__v1__node_message__pack(&m, bytes);
	oom_each(decode_one, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_begin_and_commit),
		cmocka_unit_test(test_node_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
