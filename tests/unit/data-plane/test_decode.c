#include "data-plane/sync/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cardea/v1/fleet.pb-c.h"
#include "tests/unit/lib/oom.h"

static unsigned char id[16] = {[0] = 1, [15] = 0xaa};
static unsigned char other_id[16] = {[15] = 0xbb};
static unsigned char secret[33] = {7};

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static ProtobufCBinaryData bin(unsigned char *p, size_t n)
{
	return (ProtobufCBinaryData){n, p};
}

/* A whole message with one change, that each row then spoils in its own way. */
struct made {
	Cardea__V1__PlaneMessage m;
	Cardea__V1__Change change;
	Cardea__V1__Certificate certificate;
	Cardea__V1__KeyPair pair;
	Cardea__V1__KeyPair *pairs[4];
	ProtobufCBinaryData chain[CHANGE_CHAIN_MAX + 1];
	Cardea__V1__Sni sni;
	Cardea__V1__Challenge challenge;
	Cardea__V1__TicketSecret ticket;
	Cardea__V1__Removed removed;
	Cardea__V1__SnapshotBegin begin;
	Cardea__V1__Commit commit;
};

static void make_init(struct made *d)
{
	cardea__v1__plane_message__init(&d->m);
	cardea__v1__change__init(&d->change);
	cardea__v1__certificate__init(&d->certificate);
	cardea__v1__key_pair__init(&d->pair);
	cardea__v1__sni__init(&d->sni);
	cardea__v1__challenge__init(&d->challenge);
	cardea__v1__ticket_secret__init(&d->ticket);
	cardea__v1__removed__init(&d->removed);
	cardea__v1__snapshot_begin__init(&d->begin);
	cardea__v1__commit__init(&d->commit);
	d->m.message_case = CARDEA__V1__PLANE_MESSAGE__MESSAGE_CHANGE;
	d->m.change = &d->change;
	d->change.id = bin(id, 16);
	for (size_t i = 0; i < array_len(d->pairs); i++)
		d->pairs[i] = &d->pair;
	for (size_t i = 0; i < array_len(d->chain); i++)
		d->chain[i] = bin(secret, 5);
	d->pair.leaf = bin(secret, 3);
	d->pair.key = bin(secret, 4);
	d->pair.chain = d->chain;
	d->certificate.pairs = d->pairs;
	d->certificate.n_pairs = 1;
	d->sni.name = text("a.com");
	d->sni.certificate_id = bin(other_id, 16);
	d->challenge.host = text("a.com");
	d->challenge.token = text("t");
	d->challenge.key_authorization = text("t.k");
	d->ticket.secret = bin(secret, 32);
	d->ticket.not_before = -5;
	d->removed.kind = text("snis");
	d->begin.epoch = text("e");
	d->commit.epoch = text("e");
}

static void as_certificate(struct made *d)
{
	d->change.entity_case = CARDEA__V1__CHANGE__ENTITY_CERTIFICATE;
	d->change.certificate = &d->certificate;
}

static void as_sni(struct made *d)
{
	d->change.entity_case = CARDEA__V1__CHANGE__ENTITY_SNI;
	d->change.sni = &d->sni;
}

static void as_challenge(struct made *d)
{
	d->change.entity_case = CARDEA__V1__CHANGE__ENTITY_CHALLENGE;
	d->change.challenge = &d->challenge;
}

static void as_ticket(struct made *d)
{
	d->change.entity_case = CARDEA__V1__CHANGE__ENTITY_TICKET_SECRET;
	d->change.ticket_secret = &d->ticket;
}

static void as_removed(struct made *d)
{
	d->change.entity_case = CARDEA__V1__CHANGE__ENTITY_REMOVED;
	d->change.removed = &d->removed;
}

static void as_begin(struct made *d)
{
	d->m.message_case = CARDEA__V1__PLANE_MESSAGE__MESSAGE_SNAPSHOT_BEGIN;
	d->m.snapshot_begin = &d->begin;
}

static void as_commit(struct made *d)
{
	d->m.message_case = CARDEA__V1__PLANE_MESSAGE__MESSAGE_COMMIT;
	d->m.commit = &d->commit;
}

static struct str pack(const struct made *d)
{
	static uint8_t bytes[4096];

	return (struct str){(char *)bytes, cardea__v1__plane_message__pack(&d->m, bytes)};
}

static void decode(struct plane_message *out, void (*as)(struct made *d))
{
	struct made d;
	struct err e = ERR_INIT;

	make_init(&d);
	as(&d);
	if (plane_message_decode(out, pack(&d), &e))
		fail_msg("%s", e.message);
}

static void test_each_kind(void **state)
{
	struct plane_message m;

	(void)state;
	decode(&m, as_certificate);
	assert_int_equal(m.kind, PLANE_CHANGE);
	assert_int_equal(m.change.kind, CHANGE_CERTIFICATE);
	assert_memory_equal(m.change.id, id, 16);
	assert_int_equal(m.change.u.certificate.count, 1);
	assert_int_equal(m.change.u.certificate.pairs[0].leaf.len, 3);
	assert_int_equal(m.change.u.certificate.pairs[0].key.len, 4);
	assert_int_equal(m.change.u.certificate.pairs[0].chain_count, 0);
	assert_int_equal(m.change.u.certificate.pairs[0].staple.len, 0);
	plane_message_free(&m);
	plane_message_free(&m);

	decode(&m, as_sni);
	assert_true(str_eq(m.change.u.sni.name, STR("a.com")));
	assert_memory_equal(m.change.u.sni.certificate_id, other_id, 16);
	plane_message_free(&m);

	decode(&m, as_challenge);
	assert_true(str_eq(m.change.u.challenge.key_authorization, STR("t.k")));
	plane_message_free(&m);

	decode(&m, as_ticket);
	assert_int_equal(m.change.u.ticket.secret.len, 32);
	assert_int_equal(m.change.u.ticket.not_before, -5);
	plane_message_free(&m);

	decode(&m, as_removed);
	assert_true(m.change.removed);
	assert_int_equal(m.change.kind, CHANGE_SNI);
	plane_message_free(&m);
}

static void long_chain_allowed(struct made *d)
{
	as_certificate(d);
	d->certificate.n_pairs = 2;
	d->pair.n_chain = CHANGE_CHAIN_MAX;
	d->pair.staple = bin(secret, 6);
}

static void begin_with_numbers(struct made *d)
{
	as_begin(d);
	d->begin.revision = UINT64_MAX;
	d->begin.changes = 3;
}

static void commit_with_numbers(struct made *d)
{
	as_commit(d);
	d->commit.revision = 9;
	d->commit.since = 8;
}

static void test_limits_and_numbers(void **state)
{
	struct plane_message m;

	(void)state;
	decode(&m, long_chain_allowed);
	assert_int_equal(m.change.u.certificate.count, 2);
	assert_int_equal(m.change.u.certificate.pairs[1].chain_count, CHANGE_CHAIN_MAX);
	assert_int_equal(m.change.u.certificate.pairs[1].staple.len, 6);
	plane_message_free(&m);
	decode(&m, begin_with_numbers);
	assert_int_equal(m.kind, PLANE_SNAPSHOT_BEGIN);
	assert_true(m.revision == UINT64_MAX);
	assert_int_equal(m.changes, 3);
	assert_true(str_eq(m.epoch, STR("e")));
	plane_message_free(&m);
	decode(&m, commit_with_numbers);
	assert_int_equal(m.kind, PLANE_COMMIT);
	assert_int_equal(m.revision, 9);
	assert_int_equal(m.since, 8);
	plane_message_free(&m);
}

/* What the cache keeps of a change gives the same change again. */
static void test_encoded(void **state)
{
	static void (*const kinds[])(struct made * d) = {
		as_certificate, as_sni, as_challenge, as_ticket, as_removed, long_chain_allowed};

	(void)state;
	for (size_t i = 0; i < array_len(kinds); i++) {
		struct plane_message m, again;
		struct err e = ERR_INIT;

		decode(&m, kinds[i]);
		assert_true(m.change.encoded.len > 0);
		if (plane_change_decode(&again, m.change.encoded, &e))
			fail_msg("%s", e.message);
		assert_int_equal(again.kind, PLANE_CHANGE);
		assert_int_equal(again.change.kind, m.change.kind);
		assert_memory_equal(again.change.id, m.change.id, 16);
		assert_true(str_eq(again.change.encoded, m.change.encoded));
		plane_message_free(&again);
		plane_message_free(&m);
	}
}

/* --- changes that are refused --- */

static void no_id(struct made *d)
{
	as_sni(d);
	d->change.id.len = 0;
}
static void short_id(struct made *d)
{
	as_sni(d);
	d->change.id.len = 15;
}
static void long_id(struct made *d)
{
	as_sni(d);
	d->change.id = bin(secret, 17);
}
static void no_entity(struct made *d)
{
	d->change.entity_case = CARDEA__V1__CHANGE__ENTITY__NOT_SET;
}
static void no_pairs(struct made *d)
{
	as_certificate(d);
	d->certificate.n_pairs = 0;
}
static void three_pairs(struct made *d)
{
	as_certificate(d);
	d->certificate.n_pairs = 3;
}
static void no_leaf(struct made *d)
{
	as_certificate(d);
	d->pair.leaf.len = 0;
}
static void no_key(struct made *d)
{
	as_certificate(d);
	d->pair.key.len = 0;
}
static void long_chain(struct made *d)
{
	as_certificate(d);
	d->pair.n_chain = CHANGE_CHAIN_MAX + 1;
}
static void no_name(struct made *d)
{
	as_sni(d);
	d->sni.name = text("");
}
static void no_certificate(struct made *d)
{
	as_sni(d);
	d->sni.certificate_id.len = 0;
}
static void no_host(struct made *d)
{
	as_challenge(d);
	d->challenge.host = text("");
}
static void no_token(struct made *d)
{
	as_challenge(d);
	d->challenge.token = text("");
}
static void no_authorization(struct made *d)
{
	as_challenge(d);
	d->challenge.key_authorization = text("");
}
static void no_secret(struct made *d)
{
	as_ticket(d);
	d->ticket.secret.len = 0;
}
static void short_secret(struct made *d)
{
	as_ticket(d);
	d->ticket.secret.len = 31;
}
static void long_secret(struct made *d)
{
	as_ticket(d);
	d->ticket.secret.len = 33;
}
static void removed_nothing(struct made *d)
{
	as_removed(d);
	d->removed.kind = text("");
}
static void removed_unknown(struct made *d)
{
	as_removed(d);
	d->removed.kind = text("snisx");
}

static char long_epoch[EPOCH_MAX + 2];

static void begin_without_epoch(struct made *d)
{
	as_begin(d);
	d->begin.epoch = text("");
}
static void begin_long_epoch(struct made *d)
{
	as_begin(d);
	d->begin.epoch = long_epoch;
}
static void commit_without_epoch(struct made *d)
{
	as_commit(d);
	d->commit.epoch = text("");
}
static void commit_long_epoch(struct made *d)
{
	as_commit(d);
	d->commit.epoch = long_epoch;
}
static void nothing(struct made *d)
{
	d->m.message_case = CARDEA__V1__PLANE_MESSAGE__MESSAGE__NOT_SET;
}

static void test_refused(void **state)
{
	static const struct {
		const char *name;
		void (*as)(struct made *d);
		enum err_kind want;
	} rows[] = {
		{"no id", no_id, ERR_CONFLICT},
		{"short id", short_id, ERR_CONFLICT},
		{"long id", long_id, ERR_CONFLICT},
		{"no entity", no_entity, ERR_CONFLICT},
		{"no pairs", no_pairs, ERR_CONFLICT},
		{"three pairs", three_pairs, ERR_CONFLICT},
		{"no leaf", no_leaf, ERR_CONFLICT},
		{"no key", no_key, ERR_CONFLICT},
		{"long chain", long_chain, ERR_CONFLICT},
		{"no name", no_name, ERR_CONFLICT},
		{"no certificate", no_certificate, ERR_CONFLICT},
		{"no host", no_host, ERR_CONFLICT},
		{"no token", no_token, ERR_CONFLICT},
		{"no key authorization", no_authorization, ERR_CONFLICT},
		{"no secret", no_secret, ERR_CONFLICT},
		{"short secret", short_secret, ERR_CONFLICT},
		{"long secret", long_secret, ERR_CONFLICT},
		{"removed nothing", removed_nothing, ERR_CONFLICT},
		{"removed of an unknown kind", removed_unknown, ERR_CONFLICT},
		{"begin without epoch", begin_without_epoch, ERR_INVALID},
		{"begin with a long epoch", begin_long_epoch, ERR_INVALID},
		{"commit without epoch", commit_without_epoch, ERR_INVALID},
		{"commit with a long epoch", commit_long_epoch, ERR_INVALID},
		{"nothing", nothing, ERR_INVALID},
	};

	(void)state;
	memset(long_epoch, 'e', sizeof(long_epoch) - 1);
	for (size_t i = 0; i < array_len(rows); i++) {
		struct made d;
		struct plane_message m = {.changes = 77};
		struct err e = ERR_INIT;

		make_init(&d);
		rows[i].as(&d);
		if (plane_message_decode(&m, pack(&d), &e) == 0)
			fail_msg("%s: was taken", rows[i].name);
		if (e.kind != rows[i].want || !e.message[0])
			fail_msg("%s: %s", rows[i].name, e.message);
		assert_int_equal(m.changes, 77);
	}
}

static void test_no_messages(void **state)
{
	static const struct {
		const char *name;
		struct str bytes;
	} rows[] = {
		{"absent", STR_NONE},
		{"one byte", STR("\x0a")},
		{"zero tag", STR("\x00\x00")},
		{"length beyond the end", STR("\x12\x7f\x0a")},
		{"huge length", STR("\x12\xff\xff\xff\xff\x0f\x00")},
		{"length over 64 bits", STR("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
		{"cut varint", STR("\x1a\x03\x10\x80\x80")},
		{"cut fixed64", STR("\x09\x00\x00")},
		{"cut fixed32", STR("\x0d\x00")},
		{"wire type 3", STR("\x13")},
		{"wire type 6", STR("\x16")},
		{"wire type 7", STR("\x17")},
		{"change as a number", STR("\x10\x01")},
		{"epoch as a number", STR("\x1a\x02\x08\x01")},
		{"id as a number", STR("\x12\x02\x08\x01")},
		{"commit of garbage", STR("\x1a\x02\xff\xff")},
		{"an unknown kind only", STR("\x7a\x01z")},
		{"HTTP", STR("HTTP/1.1 200 OK\r\n\r\n")},
		{"JSON", STR("{\"commit\":{}}")},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct plane_message m;
		struct err e = ERR_INIT;

		if (plane_message_decode(&m, rows[i].bytes, &e) == 0)
			fail_msg("%s: was taken", rows[i].name);
		if (e.kind != ERR_INVALID)
			fail_msg("%s: %s", rows[i].name, e.message);
		/* An empty Change is one without id. */
		if (plane_change_decode(&m, rows[i].bytes, &e) == 0)
			fail_msg("%s: was taken as a change", rows[i].name);
	}
}

/* Every cut and every changed byte of good messages has an answer. */
static void test_cut_and_flipped(void **state)
{
	static void (*const kinds[])(struct made * d) = {
		as_certificate, as_sni,	  as_challenge,	       as_ticket,
		as_removed,	as_begin, commit_with_numbers, long_chain_allowed};
	struct plane_message m;

	(void)state;
	for (size_t k = 0; k < array_len(kinds); k++) {
		struct made d;
		struct str whole;
		char copy[4096];

		make_init(&d);
		kinds[k](&d);
		whole = pack(&d);
		for (size_t n = 0; n < whole.len; n++) {
			char *exact = malloc(n + 1);

			memcpy(exact, whole.ptr, n);
			if (plane_message_decode(&m, (struct str){exact, n}, NULL) == 0)
				plane_message_free(&m);
			free(exact);
			memcpy(copy, whole.ptr, whole.len);
			copy[n] = (char)(copy[n] ^ 0x81);
			if (plane_message_decode(&m, (struct str){copy, whole.len}, NULL) == 0)
				plane_message_free(&m);
		}
	}
}

/* --- what the node says --- */

static Cardea__V1__NodeMessage *unpack(const struct buf *b)
{
	Cardea__V1__NodeMessage *m =
		cardea__v1__node_message__unpack(NULL, b->len, (const uint8_t *)b->data);

	assert_non_null(m);
	return m;
}

static void test_node_messages(void **state)
{
	const char *names[] = {"zone", "rack"};
	const char *values[] = {"a", "b"};
	const struct node_hello h = {.node_id = "n",
				     .version = "1",
				     .hostname = "h",
				     .epoch = "e",
				     .label_names = names,
				     .label_values = values,
				     .label_count = 2,
				     .revision = 5};
	const struct node_hit hits[] = {{{[15] = 1}, 3}, {{[15] = 2}, UINT32_MAX}};
	struct buf b = BUF_INIT;
	Cardea__V1__NodeMessage *m;

	(void)state;
	assert_int_equal(node_encode_hello(&b, &h, NULL), 0);
	m = unpack(&b);
	assert_string_equal(m->hello->node_id, "n");
	assert_int_equal(m->hello->revision, 5);
	assert_int_equal(m->hello->n_labels, 2);
	assert_string_equal(m->hello->labels[1]->value, "b");
	cardea__v1__node_message__free_unpacked(m, NULL);

	buf_clear(&b);
	assert_int_equal(node_encode_ack(&b, UINT64_MAX, NULL), 0);
	m = unpack(&b);
	assert_true(m->ack->revision == UINT64_MAX);
	cardea__v1__node_message__free_unpacked(m, NULL);

	buf_clear(&b);
	assert_int_equal(node_encode_nack(&b, 4, "snis", id, "why", NULL), 0);
	m = unpack(&b);
	assert_string_equal(m->nack->kind, "snis");
	assert_int_equal(m->nack->id.len, 16);
	assert_string_equal(m->nack->reason, "why");
	cardea__v1__node_message__free_unpacked(m, NULL);

	buf_clear(&b);
	assert_int_equal(node_encode_nack(&b, 4, "", NULL, "why", NULL), 0);
	m = unpack(&b);
	assert_int_equal(m->nack->id.len, 0);
	cardea__v1__node_message__free_unpacked(m, NULL);

	buf_clear(&b);
	assert_int_equal(node_encode_hits(&b, hits, 2, NULL), 0);
	m = unpack(&b);
	assert_int_equal(m->report->n_challenge_hits, 2);
	assert_true(m->report->challenge_hits[1]->count == UINT32_MAX);
	cardea__v1__node_message__free_unpacked(m, NULL);
	assert_int_equal(node_encode_hits(&b, hits, 100000, NULL), -1);
	buf_deinit(&b);
}

static void encode_all(void *arg)
{
	const struct node_hello h = {.node_id = "n", .version = "1", .hostname = "h", .epoch = ""};
	const struct node_hit hit = {.count = 1};
	struct buf b = BUF_INIT;
	int failed = 0;

	(void)arg;
	failed += node_encode_hello(&b, &h, NULL) != 0;
	failed += node_encode_hits(&b, &hit, 1, NULL) != 0;
	failed += node_encode_ack(&b, 1, NULL) != 0;
	assert_true(failed <= 1);
	buf_deinit(&b);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(oom_each(encode_all, NULL) > 3);
}

static void test_kind_names(void **state)
{
	(void)state;
	assert_string_equal(change_kind_name(CHANGE_CERTIFICATE), "certificates");
	assert_string_equal(change_kind_name(CHANGE_SNI), "snis");
	assert_string_equal(change_kind_name(CHANGE_CHALLENGE), "acme_challenges");
	assert_string_equal(change_kind_name(CHANGE_TICKET_SECRET), "ticket_secrets");
	assert_string_equal(change_kind_name((enum change_kind)77), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_kind),     cmocka_unit_test(test_limits_and_numbers),
		cmocka_unit_test(test_encoded),	      cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_messages),   cmocka_unit_test(test_cut_and_flipped),
		cmocka_unit_test(test_node_messages), cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_kind_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
