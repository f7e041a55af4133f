/* Stream messages to bytes and from bytes, on the generated code. */
#include "control-plane/fleet/encode.h"

#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>

#include "cardea/v1/fleet.pb-c.h"
#include "common/core/codec.h"
#include "common/http/grpc.h"
#include "common/net/addr.h"
#include "common/pki/cert.h"
#include "control-plane/fleet/wire.h"
#include "control-plane/model/host.h"

enum { ID_SIZE = 16, SECRET_SIZE = 32, ENTITY_MEMORY_MAX = 64 << 20 };

struct encoded {
	size_t len;
	unsigned char bytes[];
};

void encoded_free(struct encoded *c)
{
	if (!c)
		return;
	OPENSSL_cleanse(c->bytes, c->len);
	free(c);
}

struct str encoded_bytes(const struct encoded *c)
{
	return (struct str){(const char *)c->bytes, c->len};
}

/* The generated structs take plain char *; packing only reads them. */
static char *text(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = {.in = s};
	return u.out;
}

static ProtobufCBinaryData binary(const void *bytes, size_t n)
{
	union {
		const void *in;
		uint8_t *out;
	} u = {.in = bytes};
	return (ProtobufCBinaryData){.len = n, .data = u.out};
}

static int pack_change(struct encoded **out, Cardea__V1__Change *change, struct err *e)
{
	Cardea__V1__PlaneMessage m;
	struct encoded *c;
	size_t n;

	cardea__v1__plane_message__init(&m);
	m.message_case = CARDEA__V1__PLANE_MESSAGE__MESSAGE_CHANGE;
	m.change = change;
	n = cardea__v1__plane_message__get_packed_size(&m);
	if (n > GRPC_MESSAGE_MAX)
		return err_set(e, ERR_LIMIT, "%zu bytes, a stream message may have %d", n,
			       GRPC_MESSAGE_MAX);
	c = malloc(sizeof(*c) + GRPC_PREFIX_SIZE + n);
	if (!c)
		return err_memory(e, "encoded change");
	c->len = GRPC_PREFIX_SIZE + n;
	grpc_prefix(c->bytes, n);
	cardea__v1__plane_message__pack(&m, c->bytes + GRPC_PREFIX_SIZE);
	*out = c;
	return 0;
}

/* A string field of a row; NULL when it is absent or null. */
static const char *row_text(const json_t *row, const char *field)
{
	return json_string_value(json_object_get(row, field));
}

static int row_texts(const json_t *row, const char *const *fields, char **const *out, size_t n,
		     struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		const char *s = row_text(row, fields[i]);
		if (!s)
			return err_set(e, ERR_INVALID, "%s is missing", fields[i]);
		*out[i] = text(s);
	}
	return 0;
}

/* The generated form of a certificate's pairs, over the buffers of their DER. */
struct pairs {
	struct cert_pair der[2];
	Cardea__V1__KeyPair pair[2];
	Cardea__V1__KeyPair *list[2];
	ProtobufCBinaryData chain[2][CERT_CHAIN_MAX];
	struct buf staple[2];
	size_t count;
};

static int pairs_add(struct pairs *p, const json_t *row, const char *cert_field,
		     const char *key_field, const char *staple_field, struct err *e)
{
	const char *cert = row_text(row, cert_field);
	const char *key = row_text(row, key_field);
	const char *staple = row_text(row, staple_field);
	size_t i = p->count;
	Cardea__V1__KeyPair *k = &p->pair[i];

	if (!cert || !key)
		return err_set(e, ERR_INVALID, "%s is missing", cert ? key_field : cert_field);
	if (cert_pair_unpack(&p->der[i], str_from(cert), str_from(key), e))
		return err_prefix(e, "%s", cert_field);
	cardea__v1__key_pair__init(k);
	k->leaf = binary(p->der[i].leaf.data, p->der[i].leaf.len);
	k->key = binary(p->der[i].key.data, p->der[i].key.len);
	for (size_t c = 0; c < p->der[i].chain_count; c++)
		p->chain[i][c] = binary(p->der[i].chain[c].data, p->der[i].chain[c].len);
	k->chain = p->chain[i];
	k->n_chain = p->der[i].chain_count;
	p->list[i] = k;
	p->count = i + 1;
	if (staple && base64_decode(&p->staple[i], str_from(staple), e) != 0)
		return err_prefix(e, "%s", staple_field);
	k->staple = binary(p->staple[i].data, p->staple[i].len);
	return 0;
}

static int encode_certificate(struct encoded **out, Cardea__V1__Change *change, const json_t *row,
			      struct err *e)
{
	Cardea__V1__Certificate c;
	struct pairs p = {.count = 0};
	int rc = pairs_add(&p, row, "cert", "key", "ocsp_response", e);

	if (rc == 0 && row_text(row, "cert_alt"))
		rc = pairs_add(&p, row, "cert_alt", "key_alt", "ocsp_response_alt", e);
	if (rc == 0) {
		cardea__v1__certificate__init(&c);
		c.pairs = p.list;
		c.n_pairs = p.count;
		change->entity_case = CARDEA__V1__CHANGE__ENTITY_CERTIFICATE;
		change->certificate = &c;
		rc = pack_change(out, change, e);
	}
	for (size_t i = 0; i < p.count; i++) {
		cert_pair_free(&p.der[i]);
		buf_deinit(&p.staple[i]);
	}
	return rc;
}

static int encode_removed(struct encoded **out, Cardea__V1__Change *change, const char *kind,
			  struct err *e)
{
	Cardea__V1__Removed removed;

	cardea__v1__removed__init(&removed);
	removed.kind = text(kind);
	change->entity_case = CARDEA__V1__CHANGE__ENTITY_REMOVED;
	change->removed = &removed;
	return pack_change(out, change, e);
}

/* As it stands in a ClientHello; 0: none. */
static uint32_t tls_version(const char *name)
{
	if (!name)
		return 0;
	return strcmp(name, "TLSv1.3") == 0 ? 0x0304 : 0x0303;
}

static int encode_sni(struct encoded **out, Cardea__V1__Change *change, const json_t *row,
		      struct err *e)
{
	Cardea__V1__Sni s;
	unsigned char id[ID_SIZE];
	char name[HOST_NAME_SIZE];
	struct str certificate = str_from(row_text(json_object_get(row, "certificate"), "id"));

	cardea__v1__sni__init(&s);
	if (row_texts(row, (const char *const[]){"name"}, (char **const[]){&s.name}, 1, e))
		return -1;
	/* A name that no client can ask for is none to a data plane, which would refuse it. */
	if (!host_sni_served(str_from(s.name), name))
		return encode_removed(out, change, "snis", e);
	s.name = name;
	if (!uuid_is(certificate))
		return err_set(e, ERR_INVALID, "certificate is missing");
	uuid_bytes(certificate, id);
	s.certificate_id = binary(id, ID_SIZE);
	s.tls_min_version = tls_version(row_text(row, "tls_min_version"));
	change->entity_case = CARDEA__V1__CHANGE__ENTITY_SNI;
	change->sni = &s;
	return pack_change(out, change, e);
}

static int encode_challenge(struct encoded **out, Cardea__V1__Change *change, const json_t *row,
			    struct err *e)
{
	Cardea__V1__Challenge c;

	cardea__v1__challenge__init(&c);
	if (row_texts(row, (const char *const[]){"host", "token", "key_authorization"},
		      (char **const[]){&c.host, &c.token, &c.key_authorization}, 3, e))
		return -1;
	change->entity_case = CARDEA__V1__CHANGE__ENTITY_CHALLENGE;
	change->challenge = &c;
	return pack_change(out, change, e);
}

static int encode_ticket_secret(struct encoded **out, Cardea__V1__Change *change, const json_t *row,
				struct err *e)
{
	Cardea__V1__TicketSecret t;
	struct buf secret = {.secret = true};
	const char *hex = row_text(row, "secret");
	int rc = hex_decode(&secret, str_from(hex), e);

	if (rc == 0 && secret.len != SECRET_SIZE)
		rc = err_set(e, ERR_INVALID, "secret must have %d bytes", SECRET_SIZE);
	if (rc == 0) {
		cardea__v1__ticket_secret__init(&t);
		t.secret = binary(secret.data, secret.len);
		t.not_before = (int64_t)json_number_value(json_object_get(row, "not_before"));
		change->entity_case = CARDEA__V1__CHANGE__ENTITY_TICKET_SECRET;
		change->ticket_secret = &t;
		rc = pack_change(out, change, e);
	}
	buf_deinit(&secret);
	return rc;
}

static int encode_other(struct encoded **out, Cardea__V1__Change *change, const struct entity *t,
			const json_t *row, struct err *e)
{
	Cardea__V1__Entity *entity;
	struct arena memory;
	int rc;

	arena_init(&memory, ENTITY_MEMORY_MAX);
	rc = wire_entity(&entity, &memory, t, row, e);
	if (rc == 0) {
		change->entity_case = CARDEA__V1__CHANGE__ENTITY_OTHER;
		change->other = entity;
		rc = pack_change(out, change, e);
	}
	arena_deinit(&memory);
	return rc;
}

/* Those with a message of their own. */
static const struct {
	const char *entity;
	int (*encode)(struct encoded **out, Cardea__V1__Change *change, const json_t *row,
		      struct err *e);
} encoders[] = {
	{"certificates", encode_certificate},
	{"snis", encode_sni},
	{"acme_challenges", encode_challenge},
	{"ticket_secrets", encode_ticket_secret},
};

int encode_change(struct encoded **out, const struct entity *t, const unsigned char id[16],
		  const json_t *row, struct err *e)
{
	Cardea__V1__Change change;

	cardea__v1__change__init(&change);
	change.id = binary(id, ID_SIZE);
	if (!row)
		return encode_removed(out, &change, t->name, e);
	for (size_t i = 0; i < array_len(encoders); i++)
		if (strcmp(encoders[i].entity, t->name) == 0)
			return encoders[i].encode(out, &change, row, e);
	return encode_other(out, &change, t, row, e);
}

int encode_held(struct encoded **out, const struct entity *t, const unsigned char id[16],
		struct err *e)
{
	Cardea__V1__Change change;
	Cardea__V1__Held held;

	cardea__v1__change__init(&change);
	cardea__v1__held__init(&held);
	change.id = binary(id, ID_SIZE);
	held.kind = text(t->name);
	change.entity_case = CARDEA__V1__CHANGE__ENTITY_HELD;
	change.held = &held;
	return pack_change(out, &change, e);
}

static int pack_message(struct buf *out, const Cardea__V1__PlaneMessage *m, struct err *e)
{
	size_t n = cardea__v1__plane_message__get_packed_size(m);

	if (buf_reserve(out, GRPC_PREFIX_SIZE + n, e))
		return -1;
	grpc_prefix((unsigned char *)out->data + out->len, n);
	out->len += GRPC_PREFIX_SIZE;
	out->len += cardea__v1__plane_message__pack(m, (uint8_t *)out->data + out->len);
	out->data[out->len] = '\0';
	return 0;
}

int encode_snapshot_begin(struct buf *out, const char *epoch, uint64_t revision, uint64_t changes,
			  struct err *e)
{
	Cardea__V1__PlaneMessage m;
	Cardea__V1__SnapshotBegin begin;

	cardea__v1__plane_message__init(&m);
	cardea__v1__snapshot_begin__init(&begin);
	begin.epoch = text(epoch);
	begin.revision = revision;
	begin.changes = changes;
	m.message_case = CARDEA__V1__PLANE_MESSAGE__MESSAGE_SNAPSHOT_BEGIN;
	m.snapshot_begin = &begin;
	return pack_message(out, &m, e);
}

int encode_commit(struct buf *out, const char *epoch, uint64_t revision, uint64_t since,
		  struct err *e)
{
	Cardea__V1__PlaneMessage m;
	Cardea__V1__Commit commit;

	cardea__v1__plane_message__init(&m);
	cardea__v1__commit__init(&commit);
	commit.epoch = text(epoch);
	commit.revision = revision;
	commit.since = since;
	m.message_case = CARDEA__V1__PLANE_MESSAGE__MESSAGE_COMMIT;
	m.commit = &commit;
	return pack_message(out, &m, e);
}

int encode_want_answer(struct buf *out, const struct want_answer *a, struct err *e)
{
	Cardea__V1__PlaneMessage m;
	Cardea__V1__WantAnswer answer;

	cardea__v1__plane_message__init(&m);
	cardea__v1__want_answer__init(&answer);
	answer.host = text(a->host);
	answer.verdict = (Cardea__V1__WantAnswer__Verdict)a->verdict;
	answer.seconds = a->seconds;
	answer.reason = text(a->reason);
	m.message_case = CARDEA__V1__PLANE_MESSAGE__MESSAGE_WANT_ANSWER;
	m.want_answer = &answer;
	return pack_message(out, &m, e);
}

/* --- what nodes say --- */

/* Text that goes into JSON and the database: UTF-8 of a bounded size. */
static int check_text(const char *s, const char *what, size_t max, struct err *e)
{
	size_t n = strlen(s);
	json_t *utf8;

	if (n > max)
		return err_set(e, ERR_INVALID, "%s has %zu bytes, at most %zu are allowed", what, n,
			       max);
	utf8 = json_stringn(s, n);
	if (!utf8)
		return err_set(e, ERR_INVALID, "%s is not UTF-8", what);
	json_decref(utf8);
	return 0;
}

static int labels_of(json_t **out, const Cardea__V1__Hello *h, struct err *e)
{
	json_t *labels = json_object();

	if (!labels)
		return err_memory(e, "labels");
	if (h->n_labels > NODE_LABELS_MAX) {
		json_decref(labels);
		return err_set(e, ERR_INVALID, "%zu labels, at most %d are allowed", h->n_labels,
			       NODE_LABELS_MAX);
	}
	for (size_t i = 0; i < h->n_labels; i++) {
		const Cardea__V1__Hello__LabelsEntry *l = h->labels[i];
		if (check_text(l->key, "label name", NODE_LABEL_NAME_MAX, e) ||
		    check_text(l->value, "label value", NODE_LABEL_VALUE_MAX, e) ||
		    (json_object_set_new(labels, l->key, json_string(l->value)) &&
		     err_memory(e, "labels"))) {
			json_decref(labels);
			return -1;
		}
	}
	*out = labels;
	return 0;
}

static int hello_of(struct node_message *out, const Cardea__V1__NodeMessage *in, struct err *e)
{
	const Cardea__V1__Hello *h = in->hello;
	unsigned char id[ID_SIZE];

	if (!uuid_is(str_from(h->node_id)))
		return err_set(e, ERR_INVALID, "hello: node_id is not a UUID");
	if (check_text(h->hostname, "hello: hostname", NODE_HOSTNAME_MAX, e) ||
	    check_text(h->version, "hello: version", NODE_VERSION_MAX, e) ||
	    check_text(h->epoch, "hello: epoch", NODE_EPOCH_MAX, e) ||
	    labels_of(&out->labels, h, e))
		return -1;
	uuid_bytes(str_from(h->node_id), id);
	uuid_text(id, out->node_id);
	out->kind = NODE_MESSAGE_HELLO;
	out->hostname = h->hostname;
	out->version = h->version;
	out->epoch = h->epoch;
	out->revision = h->revision;
	return 0;
}

static int ack_of(struct node_message *out, const Cardea__V1__NodeMessage *in, struct err *e)
{
	(void)e;
	out->kind = NODE_MESSAGE_ACK;
	out->revision = in->ack->revision;
	return 0;
}

static int nack_of(struct node_message *out, const Cardea__V1__NodeMessage *in, struct err *e)
{
	const Cardea__V1__Nack *n = in->nack;

	if (n->id.len != 0 && n->id.len != ID_SIZE)
		return err_set(e, ERR_INVALID, "nack: id has %zu bytes, must have %d or none",
			       n->id.len, ID_SIZE);
	if (check_text(n->kind, "nack: kind", NODE_VERSION_MAX, e) ||
	    check_text(n->reason, "nack: reason", NODE_REASON_MAX, e))
		return -1;
	out->kind = NODE_MESSAGE_NACK;
	out->revision = n->revision;
	out->entity_kind = n->kind;
	out->reason = n->reason;
	if (n->id.len)
		uuid_text(n->id.data, out->entity_id);
	return 0;
}

static int check_target(const Cardea__V1__TargetHealth *t, struct err *e)
{
	if (t->upstream_id.len != ID_SIZE || t->target_id.len != ID_SIZE)
		return err_set(e, ERR_INVALID, "report: ids of targets must have %d bytes",
			       ID_SIZE);
	if (t->health <= CARDEA__V1__TARGET_HEALTH__STATE__UNKNOWN ||
	    (int)t->health >= (int)TARGET_STATES)
		return err_set(e, ERR_INVALID, "report: a target's state is not known");
	return check_text(t->address, "report: address", TARGET_HEALTH_ADDRESS_SIZE - 1, e);
}

static int report_of(struct node_message *out, const Cardea__V1__NodeMessage *in, struct err *e)
{
	const Cardea__V1__Report *r = in->report;

	if (r->n_challenge_hits > NODE_HITS_MAX)
		return err_set(e, ERR_INVALID, "report: %zu hits, at most %d are allowed",
			       r->n_challenge_hits, NODE_HITS_MAX);
	for (size_t i = 0; i < r->n_challenge_hits; i++)
		if (r->challenge_hits[i]->challenge_id.len != ID_SIZE)
			return err_set(e, ERR_INVALID, "report: challenge_id must have %d bytes",
				       ID_SIZE);
	out->kind = NODE_MESSAGE_REPORT;
	if (r->n_targets > NODE_TARGETS_MAX)
		return err_set(e, ERR_INVALID, "report: %zu targets, at most %d are allowed",
			       r->n_targets, NODE_TARGETS_MAX);
	for (size_t i = 0; i < r->n_targets; i++)
		if (check_target(r->targets[i], e))
			return -1;
	out->hit_count = r->n_challenge_hits;
	out->target_count = r->n_targets;
	out->targets_begin = r->targets_begin;
	return 0;
}

static int want_of(struct node_message *out, const Cardea__V1__NodeMessage *in, struct err *e)
{
	struct addr client;

	out->kind = NODE_MESSAGE_WANT;
	out->host = in->want_certificate->host;
	out->client = in->want_certificate->client;
	if (out->client[0] && addr_parse_ip(&client, str_from(out->client)) != 0)
		return err_set(e, ERR_INVALID, "want_certificate: client is no IP address");
	return check_text(out->host, "want_certificate: host", NODE_WANT_MAX, e);
}

static const struct {
	Cardea__V1__NodeMessage__MessageCase which;
	int (*read)(struct node_message *out, const Cardea__V1__NodeMessage *in, struct err *e);
} readers[] = {
	{CARDEA__V1__NODE_MESSAGE__MESSAGE_HELLO, hello_of},
	{CARDEA__V1__NODE_MESSAGE__MESSAGE_ACK, ack_of},
	{CARDEA__V1__NODE_MESSAGE__MESSAGE_NACK, nack_of},
	{CARDEA__V1__NODE_MESSAGE__MESSAGE_REPORT, report_of},
	{CARDEA__V1__NODE_MESSAGE__MESSAGE_WANT_CERTIFICATE, want_of},
};

static int read_message(struct node_message *out, const Cardea__V1__NodeMessage *in, struct err *e)
{
	for (size_t i = 0; i < array_len(readers); i++)
		if (readers[i].which == in->message_case)
			return readers[i].read(out, in, e);
	return err_set(e, ERR_INVALID, "message of a kind that is not known");
}

int node_message_decode(struct node_message *out, struct str bytes, struct err *e)
{
	struct node_message m = {.unpacked = NULL};
	Cardea__V1__NodeMessage *in = cardea__v1__node_message__unpack(
		NULL, bytes.len, (const uint8_t *)(bytes.ptr ? bytes.ptr : ""));

	if (!in)
		return err_set(e, ERR_INVALID, "not a NodeMessage (%zu bytes)", bytes.len);
	m.unpacked = in;
	if (read_message(&m, in, e)) {
		node_message_free(&m);
		return -1;
	}
	*out = m;
	return 0;
}

void node_message_free(struct node_message *m)
{
	json_decref(m->labels);
	m->labels = NULL;
	cardea__v1__node_message__free_unpacked(m->unpacked, NULL);
	m->unpacked = NULL;
}

void node_message_hit(const struct node_message *m, size_t i, char challenge_id[UUID_TEXT_SIZE],
		      uint32_t *count)
{
	const Cardea__V1__NodeMessage *in = m->unpacked;
	const Cardea__V1__ChallengeHit *hit = in->report->challenge_hits[i];

	uuid_text(hit->challenge_id.data, challenge_id);
	*count = hit->count;
}

void node_message_target(const struct node_message *m, size_t i, struct target_report *out)
{
	const Cardea__V1__NodeMessage *in = m->unpacked;
	const Cardea__V1__TargetHealth *t = in->report->targets[i];

	uuid_text(t->target_id.data, out->target);
	memset(out->address, 0, sizeof(out->address));
	memcpy(out->address, t->address, strlen(t->address));
	out->weight = t->weight;
	out->verdict = (enum target_state)t->health;
}
