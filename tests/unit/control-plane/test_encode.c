#include "control-plane/fleet/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cardea/v1/fleet.pb-c.h"
#include "common/http/grpc.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"

#define ID "6f1c2a34-0000-4000-8000-0000000000aa"
#define ID2 "6F1C2A34-0000-4000-8000-0000000000BB"

static const struct entity certificates = {.name = "certificates"};
static const struct entity snis = {.name = "snis"};
static const struct entity challenges = {.name = "acme_challenges"};
static const struct entity secrets = {.name = "ticket_secrets"};

static char cert_pem[4096];
static char key_pem[4096];

static int make_pair(void **state)
{
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	struct buf c = BUF_INIT;
	struct buf k = {.secret = true};
	const struct cert_make m = {
		.common_name = "a", .server = true, .not_before = 0, .not_after = 4000000000};

	(void)state;
	assert_int_equal(key_generate(&key, KEY_EC_P256, NULL), 0);
	assert_int_equal(cert_make(&cert, &m, key, NULL, NULL, NULL), 0);
	assert_int_equal(cert_to_pem(&c, cert, NULL), 0);
	assert_int_equal(key_to_pem(&k, key, NULL), 0);
	snprintf(cert_pem, sizeof(cert_pem), "%s", c.data);
	snprintf(key_pem, sizeof(key_pem), "%s", k.data);
	buf_deinit(&c);
	buf_deinit(&k);
	X509_free(cert);
	EVP_PKEY_free(key);
	return 0;
}

static struct encoded *encode(const struct entity *t, json_t *row)
{
	unsigned char id[16];
	struct encoded *c = NULL;
	struct err e = ERR_INIT;

	uuid_bytes(STR(ID), id);
	assert_int_equal(encode_change(&c, t, id, row, &e), 0);
	json_decref(row);
	return c;
}

/* The message in framed bytes; checks the frame. */
static Cardea__V1__PlaneMessage *parse(struct str framed)
{
	unsigned char prefix[GRPC_PREFIX_SIZE];
	Cardea__V1__PlaneMessage *m;

	assert_true(framed.len > GRPC_PREFIX_SIZE);
	grpc_prefix(prefix, framed.len - GRPC_PREFIX_SIZE);
	assert_memory_equal(prefix, framed.ptr, sizeof(prefix));
	m = cardea__v1__plane_message__unpack(NULL, framed.len - GRPC_PREFIX_SIZE,
					      (const uint8_t *)framed.ptr + GRPC_PREFIX_SIZE);
	assert_non_null(m);
	return m;
}

static void done(Cardea__V1__PlaneMessage *m, struct encoded *c)
{
	cardea__v1__plane_message__free_unpacked(m, NULL);
	encoded_free(c);
}

static void test_certificate(void **state)
{
	struct encoded *c = encode(&certificates, json_pack("{s:s, s:s, s:n}", "cert", cert_pem,
							    "key", key_pem, "cert_alt"));
	Cardea__V1__PlaneMessage *m = parse(encoded_bytes(c));
	const Cardea__V1__Change *change = m->change;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(m->message_case, CARDEA__V1__PLANE_MESSAGE__MESSAGE_CHANGE);
	assert_int_equal(change->id.len, 16);
	assert_int_equal(change->id.data[15], 0xaa);
	assert_int_equal(change->entity_case, CARDEA__V1__CHANGE__ENTITY_CERTIFICATE);
	assert_int_equal(change->certificate->n_pairs, 1);
	const Cardea__V1__KeyPair *p = change->certificate->pairs[0];
	assert_int_equal(p->n_chain, 0);
	assert_int_equal(cert_pair_check_der((struct str){(char *)p->leaf.data, p->leaf.len}, NULL,
					     0, (struct str){(char *)p->key.data, p->key.len}, &e),
			 0);
	done(m, c);
}

static void test_certificate_with_alternative_and_chain(void **state)
{
	char both[8192];
	struct encoded *c;
	Cardea__V1__PlaneMessage *m;

	(void)state;
	snprintf(both, sizeof(both), "%s%s", cert_pem, cert_pem);
	c = encode(&certificates,
		   json_pack("{s:s, s:s, s:s, s:s, s:s}", "cert", both, "key", key_pem, "cert_alt",
			     cert_pem, "key_alt", key_pem, "ocsp_response_alt", "AQID"));
	m = parse(encoded_bytes(c));
	assert_int_equal(m->change->certificate->n_pairs, 2);
	assert_int_equal(m->change->certificate->pairs[0]->n_chain, 1);
	assert_int_equal(m->change->certificate->pairs[1]->n_chain, 0);
	assert_int_equal(m->change->certificate->pairs[0]->staple.len, 0);
	assert_int_equal(m->change->certificate->pairs[1]->staple.len, 3);
	assert_memory_equal(m->change->certificate->pairs[1]->staple.data, "\1\2\3", 3);
	done(m, c);
}

static void test_others(void **state)
{
	struct encoded *c;
	unsigned char id[16];
	Cardea__V1__PlaneMessage *m;

	(void)state;
	c = encode(&snis, json_pack("{s:s, s:{s:s}}", "name", "*.a.com", "certificate", "id", ID2));
	m = parse(encoded_bytes(c));
	assert_string_equal(m->change->sni->name, "*.a.com");
	assert_int_equal(m->change->sni->certificate_id.data[15], 0xbb);
	done(m, c);

	c = encode(&challenges, json_pack("{s:s, s:s, s:s}", "host", "a.com", "token", "t",
					  "key_authorization", "t.x"));
	m = parse(encoded_bytes(c));
	assert_string_equal(m->change->challenge->host, "a.com");
	assert_string_equal(m->change->challenge->token, "t");
	assert_string_equal(m->change->challenge->key_authorization, "t.x");
	done(m, c);

	c = encode(&secrets,
		   json_pack("{s:s, s:i}", "secret",
			     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			     "not_before", 86400));
	m = parse(encoded_bytes(c));
	assert_int_equal(m->change->ticket_secret->secret.len, 32);
	assert_int_equal(m->change->ticket_secret->secret.data[31], 0x1f);
	assert_int_equal(m->change->ticket_secret->not_before, 86400);
	done(m, c);

	c = encode(&snis, NULL);
	m = parse(encoded_bytes(c));
	assert_int_equal(m->change->entity_case, CARDEA__V1__CHANGE__ENTITY_REMOVED);
	assert_string_equal(m->change->removed->kind, "snis");
	done(m, c);

	uuid_bytes(STR(ID), id);
	assert_int_equal(encode_held(&c, &snis, id, NULL), 0);
	m = parse(encoded_bytes(c));
	assert_int_equal(m->change->entity_case, CARDEA__V1__CHANGE__ENTITY_HELD);
	assert_string_equal(m->change->held->kind, "snis");
	done(m, c);
}

/* Data planes compare names in lower case, and refuse what no client can ask for: one such name
 * would keep all of them from every later revision. */
static void test_names_of_snis(void **state)
{
	static const struct {
		const char *name, *want; /* NULL: as if it were removed */
	} rows[] = {
		{"A.Com", "a.com"}, {"*.A.com", "*.a.com"}, {"*", "*"},
		{"*a.com", NULL},   {"123", NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct encoded *c = encode(&snis, json_pack("{s:s, s:{s:s}}", "name", rows[i].name,
							    "certificate", "id", ID2));
		Cardea__V1__PlaneMessage *m = parse(encoded_bytes(c));

		if (rows[i].want)
			assert_string_equal(m->change->sni->name, rows[i].want);
		else
			assert_string_equal(m->change->removed->kind, "snis");
		done(m, c);
	}
}

static void test_bad_rows(void **state)
{
	static const struct {
		const char *name;
		const struct entity *entity;
		const char *row;
		const char *want; /* in the message */
	} rows[] = {
		{"no cert", &certificates, "{\"key\":\"x\"}", "cert is missing"},
		{"no key", &certificates, "{\"cert\":\"x\"}", "key is missing"},
		{"cert null", &certificates, "{\"cert\":null,\"key\":\"x\"}", "cert is missing"},
		{"cert a number", &certificates, "{\"cert\":1,\"key\":\"x\"}", "cert is missing"},
		{"cert no PEM", &certificates, "{\"cert\":\"x\",\"key\":\"y\"}", "cert"},
		{"sni without name", &snis, "{\"certificate\":{\"id\":\"" ID "\"}}", "name"},
		{"sni without certificate", &snis, "{\"name\":\"a\"}", "certificate"},
		{"sni of no UUID", &snis, "{\"name\":\"a\",\"certificate\":{\"id\":\"7\"}}",
		 "certificate"},
		{"sni of a text", &snis, "{\"name\":\"a\",\"certificate\":\"" ID "\"}",
		 "certificate"},
		{"challenge without token", &challenges,
		 "{\"host\":\"a\",\"key_authorization\":\"k\"}", "token"},
		{"challenge without answer", &challenges, "{\"host\":\"a\",\"token\":\"k\"}",
		 "key_authorization"},
		{"secret missing", &secrets, "{\"not_before\":1}", "secret"},
		{"secret too short", &secrets, "{\"secret\":\"00\",\"not_before\":1}", "32 bytes"},
		{"secret no hex", &secrets, "{\"secret\":\"zz\",\"not_before\":1}", ""},
		{"field of another type", &entity_routes, "{\"hosts\":1}",
		 "routes: hosts is not what its table says"},
	};
	unsigned char id[16] = {0};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct encoded *c = NULL;
		struct err e = ERR_INIT;
		json_t *row = json_loads(rows[i].row, 0, NULL);

		assert_non_null(row);
		if (encode_change(&c, rows[i].entity, id, row, &e) == 0)
			fail_msg("%s: was encoded", rows[i].name);
		if (!strstr(e.message, rows[i].want))
			fail_msg("%s: %s", rows[i].name, e.message);
		assert_null(c);
		json_decref(row);
	}
	encoded_free(NULL);
}

static void test_too_large(void **state)
{
	size_t n = GRPC_MESSAGE_MAX;
	char *host = malloc(n + 1);
	struct encoded *c = NULL;
	unsigned char id[16] = {0};
	struct err e = ERR_INIT;
	json_t *row;

	(void)state;
	memset(host, 'a', n);
	host[n] = '\0';
	row = json_pack("{s:s, s:s, s:s}", "host", host, "token", "t", "key_authorization", "k");
	assert_int_equal(encode_change(&c, &challenges, id, row, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	json_decref(row);
	free(host);
}

static void test_begin_and_commit(void **state)
{
	struct buf b = BUF_INIT;
	Cardea__V1__PlaneMessage *m;

	(void)state;
	assert_int_equal(encode_snapshot_begin(&b, "epoch", 7, 3, NULL), 0);
	m = parse(buf_str(&b));
	assert_string_equal(m->snapshot_begin->epoch, "epoch");
	assert_int_equal(m->snapshot_begin->revision, 7);
	assert_int_equal(m->snapshot_begin->changes, 3);
	cardea__v1__plane_message__free_unpacked(m, NULL);
	buf_clear(&b);
	assert_int_equal(encode_commit(&b, "epoch", UINT64_MAX, 6, NULL), 0);
	m = parse(buf_str(&b));
	assert_true(m->commit->revision == UINT64_MAX);
	assert_int_equal(m->commit->since, 6);
	cardea__v1__plane_message__free_unpacked(m, NULL);
	buf_deinit(&b);
}

/* --- what nodes say --- */

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static int decode(struct node_message *out, const Cardea__V1__NodeMessage *m, struct err *e)
{
	size_t n = cardea__v1__node_message__get_packed_size(m);
	uint8_t *bytes = malloc(n + 1);
	int rc;

	cardea__v1__node_message__pack(m, bytes);
	rc = node_message_decode(out, (struct str){(char *)bytes, n}, e);
	free(bytes);
	return rc;
}

static void test_hello(void **state)
{
	Cardea__V1__NodeMessage m;
	Cardea__V1__Hello h;
	Cardea__V1__Hello__LabelsEntry label;
	Cardea__V1__Hello__LabelsEntry *labels[] = {&label};
	struct node_message out;

	(void)state;
	cardea__v1__node_message__init(&m);
	cardea__v1__hello__init(&h);
	cardea__v1__hello__labels_entry__init(&label);
	label.key = text("zone");
	label.value = text("a");
	h.node_id = text(ID2);
	h.hostname = text("dp1");
	h.version = text("1");
	h.epoch = text("e");
	h.revision = 9;
	h.n_labels = 1;
	h.labels = labels;
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_HELLO;
	m.hello = &h;
	assert_int_equal(decode(&out, &m, NULL), 0);
	assert_int_equal(out.kind, NODE_MESSAGE_HELLO);
	assert_string_equal(out.node_id, "6f1c2a34-0000-4000-8000-0000000000bb");
	assert_string_equal(out.hostname, "dp1");
	assert_string_equal(out.epoch, "e");
	assert_int_equal(out.revision, 9);
	assert_string_equal(json_string_value(json_object_get(out.labels, "zone")), "a");
	node_message_free(&out);
}

static void test_bad_hellos(void **state)
{
	char long_text[2000];
	const struct {
		const char *name, *node_id, *hostname, *version, *epoch;
		size_t labels;
		const char *label, *value;
	} rows[] = {
		{"no id", "", "h", "1", "", 0, "", ""},
		{"id not a UUID", "node-1", "h", "1", "", 0, "", ""},
		{"id too long", ID "0", "h", "1", "", 0, "", ""},
		{"long hostname", ID, long_text, "1", "", 0, "", ""},
		{"hostname not UTF-8", ID, "\xff", "1", "", 0, "", ""},
		{"long version", ID, "h", long_text, "", 0, "", ""},
		{"version not UTF-8", ID, "h", "\xc0\x80", "", 0, "", ""},
		{"long epoch", ID, "h", "1", long_text, 0, "", ""},
		{"epoch not UTF-8", ID, "h", "1", "\xed\xa0\x80", 0, "", ""},
		{"many labels", ID, "h", "1", "", NODE_LABELS_MAX + 1, "a", "b"},
		{"long label", ID, "h", "1", "", 1, long_text, "b"},
		{"long label value", ID, "h", "1", "", 1, "a", long_text},
		{"label not UTF-8", ID, "h", "1", "", 1, "\xff", "b"},
		{"value not UTF-8", ID, "h", "1", "", 1, "a", "\xff"},
	};

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	for (size_t i = 0; i < array_len(rows); i++) {
		Cardea__V1__NodeMessage m;
		Cardea__V1__Hello h;
		Cardea__V1__Hello__LabelsEntry label;
		Cardea__V1__Hello__LabelsEntry *labels[NODE_LABELS_MAX + 1];
		struct node_message out;
		struct err e = ERR_INIT;

		cardea__v1__node_message__init(&m);
		cardea__v1__hello__init(&h);
		cardea__v1__hello__labels_entry__init(&label);
		label.key = text(rows[i].label);
		label.value = text(rows[i].value);
		for (size_t l = 0; l < array_len(labels); l++)
			labels[l] = &label;
		h.node_id = text(rows[i].node_id);
		h.hostname = text(rows[i].hostname);
		h.version = text(rows[i].version);
		h.epoch = text(rows[i].epoch);
		h.n_labels = rows[i].labels;
		h.labels = labels;
		m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_HELLO;
		m.hello = &h;
		if (decode(&out, &m, &e) == 0)
			fail_msg("%s: was taken", rows[i].name);
		assert_int_equal(e.kind, ERR_INVALID);
	}
}

static void test_other_node_messages(void **state)
{
	static const struct {
		const char *name;
		struct str bytes;
		int want; /* kind, or -1 */
	} rows[] = {
		{"ack", STR("\x12\x02\x08\x05"), NODE_MESSAGE_ACK},
		{"ack of 0", STR("\x12\x00"), NODE_MESSAGE_ACK},
		{"nack without entity", STR("\x1a\x02\x08\x05"), NODE_MESSAGE_NACK},
		{"empty report", STR("\x22\x00"), NODE_MESSAGE_REPORT},
		{"want", STR("\x2a\x03\x0a\x01x"), NODE_MESSAGE_WANT},
		{"want, of a client", STR("\x2a\x08\x0a\x01x\x12\x03::1"), NODE_MESSAGE_WANT},
		{"ack with an unknown field", STR("\x12\x04\x08\x05\x78\x01"), NODE_MESSAGE_ACK},
		{"two of the oneof: the last counts", STR("\x12\x00\x22\x00"), NODE_MESSAGE_REPORT},
		{"nothing", STR(""), -1},
		{"unknown kind", STR("\x3a\x00"), -1},
		{"length beyond the end", STR("\x12\x05\x08"), -1},
		{"cut varint", STR("\x12\x02\x08\x85"), -1},
		{"wrong wire type", STR("\x10\x05"), -1},
		{"ack is not a message", STR("\x12\x01\xff"), -1},
		{"endless varint", STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -1},
		{"group", STR("\x13\x14"), -1},
		{"text", STR("GET / HTTP/1.1\r\n\r\n"), -1},
		{"nack with a short id", STR("\x1a\x05\x08\x05\x1a\x01z"), -1},
		{"nack, kind not UTF-8", STR("\x1a\x03\x12\x01\xff"), -1},
		{"nack, reason not UTF-8", STR("\x1a\x03\x22\x01\xff"), -1},
		{"hit with a short id", STR("\x22\x05\x0a\x03\x0a\x01z"), -1},
		{"hit without id", STR("\x22\x04\x0a\x02\x10\x01"), -1},
		{"want, not UTF-8", STR("\x2a\x03\x0a\x01\xff"), -1},
		{"want, of a client that is no address", STR("\x2a\x06\x0a\x01x\x12\x01y"), -1},
		{"want, of a client with a port",
		 STR("\x2a\x0e\x0a\x01x\x12\x09"
		     "1.2.3.4:5"),
		 -1},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct node_message m;
		struct err e = ERR_INIT;
		int rc = node_message_decode(&m, rows[i].bytes, &e);

		if ((rc == 0 ? (int)m.kind : -1) != rows[i].want)
			fail_msg("%s: %d %s", rows[i].name, rc, e.message);
		if (rc == 0)
			node_message_free(&m);
		else
			assert_int_equal(e.kind, ERR_INVALID);
	}
}

static void test_want(void **state)
{
	struct node_message m;

	(void)state;
	assert_int_equal(node_message_decode(&m, STR("\x2a\x08\x0a\x01x\x12\x03::1"), NULL), 0);
	assert_string_equal(m.host, "x");
	assert_string_equal(m.client, "::1");
	node_message_free(&m);
	assert_int_equal(node_message_decode(&m, STR("\x2a\x03\x0a\x01x"), NULL), 0);
	assert_string_equal(m.client, "");
	node_message_free(&m);
}

static void test_want_answer(void **state)
{
	const struct want_answer a = {
		.host = "a.example", .verdict = WANT_CLIENT_REFUSED, .seconds = 7, .reason = "why"};
	Cardea__V1__PlaneMessage *m;
	struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(encode_want_answer(&b, &a, NULL), 0);
	assert_int_equal(b.data[4], b.len - 5);
	m = cardea__v1__plane_message__unpack(NULL, b.len - 5, (const uint8_t *)b.data + 5);
	assert_non_null(m);
	assert_string_equal(m->want_answer->host, "a.example");
	assert_int_equal(m->want_answer->verdict, CARDEA__V1__WANT_ANSWER__VERDICT__CLIENT_REFUSED);
	assert_int_equal(m->want_answer->seconds, 7);
	assert_string_equal(m->want_answer->reason, "why");
	cardea__v1__plane_message__free_unpacked(m, NULL);
	buf_deinit(&b);
}

static void test_nack_and_hits(void **state)
{
	unsigned char id[16] = {[15] = 7};
	Cardea__V1__NodeMessage m;
	Cardea__V1__Nack n;
	Cardea__V1__Report r;
	Cardea__V1__ChallengeHit hit;
	Cardea__V1__ChallengeHit *hits[NODE_HITS_MAX + 1];
	struct node_message out;
	char text_id[UUID_TEXT_SIZE];
	uint32_t count;

	(void)state;
	cardea__v1__node_message__init(&m);
	cardea__v1__nack__init(&n);
	n.revision = 3;
	n.kind = text("snis");
	n.reason = text("why");
	n.id = (ProtobufCBinaryData){16, id};
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_NACK;
	m.nack = &n;
	assert_int_equal(decode(&out, &m, NULL), 0);
	assert_string_equal(out.entity_kind, "snis");
	assert_string_equal(out.entity_id, "00000000-0000-0000-0000-000000000007");
	assert_string_equal(out.reason, "why");
	node_message_free(&out);

	cardea__v1__report__init(&r);
	cardea__v1__challenge_hit__init(&hit);
	hit.challenge_id = (ProtobufCBinaryData){16, id};
	hit.count = 4;
	for (size_t i = 0; i < array_len(hits); i++)
		hits[i] = &hit;
	r.challenge_hits = hits;
	r.n_challenge_hits = 1;
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_REPORT;
	m.report = &r;
	assert_int_equal(decode(&out, &m, NULL), 0);
	assert_int_equal(out.hit_count, 1);
	node_message_hit(&out, 0, text_id, &count);
	assert_string_equal(text_id, "00000000-0000-0000-0000-000000000007");
	assert_int_equal(count, 4);
	node_message_free(&out);
	r.n_challenge_hits = NODE_HITS_MAX + 1;
	assert_int_equal(decode(&out, &m, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_certificate_with_alternative_and_chain),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_names_of_snis),
		cmocka_unit_test(test_bad_rows),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_begin_and_commit),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_bad_hellos),
		cmocka_unit_test(test_other_node_messages),
		cmocka_unit_test(test_want),
		cmocka_unit_test(test_want_answer),
		cmocka_unit_test(test_nack_and_hits),
	};
	return cmocka_run_group_tests(tests, make_pair, NULL);
}
