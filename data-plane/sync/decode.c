/* Stream messages from bytes and to bytes. The generated code allocates; what it made lives in
 * plane_message.unpacked, and all slices point into that. */
#include "data-plane/sync/decode.h"

#include <inttypes.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <protobuf-c/protobuf-c.h>

#include "cardea/v1/fleet.pb-c.h"
#include "common/core/codec.h"
#include "data-plane/tables/fields.h"

enum { ID_SIZE = 16, SECRET_SIZE = 32, HITS_MAX = 1024 };

static const char *const kind_names[CHANGE_KINDS] = {
	[CHANGE_CERTIFICATE] = "certificates",
	[CHANGE_SNI] = "snis",
	[CHANGE_CHALLENGE] = "acme_challenges",
	[CHANGE_TICKET_SECRET] = "ticket_secrets",
	[CHANGE_ROUTE] = "routes",
	[CHANGE_SERVICE] = "services",
	[CHANGE_UPSTREAM] = "upstreams",
	[CHANGE_TARGET] = "targets",
	[CHANGE_CONSUMER] = "consumers",
	[CHANGE_PLUGIN] = "plugins",
	[CHANGE_CA_CERTIFICATE] = "ca_certificates",
	[CHANGE_MTLS_CREDENTIAL] = "mtls_auth_credentials",
	[CHANGE_HEADER_CREDENTIAL] = "header_cert_auth_credentials",
};

const char *change_kind_name(enum change_kind k)
{
	return (unsigned)k < CHANGE_KINDS ? kind_names[k] : "?";
}

static struct str bytes_of(const ProtobufCBinaryData *b)
{
	return (struct str){b->data ? (const char *)b->data : "", b->len};
}

static int copy_id(unsigned char out[ID_SIZE], const ProtobufCBinaryData *b, const char *what,
		   struct err *e)
{
	if (b->len != ID_SIZE)
		return err_set(e, ERR_CONFLICT, "%s has %zu bytes, must have %d", what, b->len,
			       ID_SIZE);
	memcpy(out, b->data, ID_SIZE);
	return 0;
}

static int pair_of(struct change_pair *out, const Cardea__V1__KeyPair *in, struct err *e)
{
	if (!in->leaf.len || !in->key.len)
		return err_set(e, ERR_CONFLICT, "certificate: a key pair lacks its %s",
			       in->leaf.len ? "key" : "leaf");
	if (in->n_chain > CHANGE_CHAIN_MAX)
		return err_set(e, ERR_CONFLICT, "certificate: chain of %zu, at most %d are allowed",
			       in->n_chain, CHANGE_CHAIN_MAX);
	out->leaf = bytes_of(&in->leaf);
	out->key = bytes_of(&in->key);
	out->staple = bytes_of(&in->staple);
	for (size_t i = 0; i < in->n_chain; i++)
		out->chain[i] = bytes_of(&in->chain[i]);
	out->chain_count = in->n_chain;
	return 0;
}

static int certificate_of(struct change *out, const Cardea__V1__Change *in, struct err *e)
{
	const Cardea__V1__Certificate *c = in->certificate;
	if (c->n_pairs == 0 || c->n_pairs > CHANGE_PAIRS_MAX)
		return err_set(e, ERR_CONFLICT, "certificate: %zu key pairs, must be 1 or %d",
			       c->n_pairs, CHANGE_PAIRS_MAX);
	for (size_t i = 0; i < c->n_pairs; i++)
		if (pair_of(&out->u.certificate.pairs[i], c->pairs[i], e))
			return -1;
	out->u.certificate.count = c->n_pairs;
	return 0;
}

static int sni_of(struct change *out, const Cardea__V1__Change *in, struct err *e)
{
	if (!in->sni->name[0])
		return err_set(e, ERR_CONFLICT, "sni: name is empty");
	if (in->sni->tls_min_version > UINT16_MAX)
		return err_set(e, ERR_CONFLICT, "sni: tls_min_version %u",
			       in->sni->tls_min_version);
	out->u.sni.name = str_from(in->sni->name);
	out->u.sni.tls_min_version = (uint16_t)in->sni->tls_min_version;
	return copy_id(out->u.sni.certificate_id, &in->sni->certificate_id, "sni: certificate_id",
		       e);
}

static int challenge_of(struct change *out, const Cardea__V1__Change *in, struct err *e)
{
	const Cardea__V1__Challenge *c = in->challenge;
	if (!c->host[0] || !c->token[0] || !c->key_authorization[0])
		return err_set(e, ERR_CONFLICT,
			       "challenge: host, token and key_authorization must not be empty");
	out->u.challenge.host = str_from(c->host);
	out->u.challenge.token = str_from(c->token);
	out->u.challenge.key_authorization = str_from(c->key_authorization);
	return 0;
}

static int ticket_of(struct change *out, const Cardea__V1__Change *in, struct err *e)
{
	const Cardea__V1__TicketSecret *t = in->ticket_secret;
	if (t->secret.len != SECRET_SIZE)
		return err_set(e, ERR_CONFLICT, "ticket secret has %zu bytes, must have %d",
			       t->secret.len, SECRET_SIZE);
	out->u.ticket.secret = bytes_of(&t->secret);
	out->u.ticket.not_before = t->not_before;
	return 0;
}

static int kind_of(enum change_kind *out, const char *name)
{
	for (unsigned k = 0; k < CHANGE_KINDS; k++) {
		if (strcmp(kind_names[k], name) == 0) {
			*out = (enum change_kind)k;
			return 0;
		}
	}
	return -1;
}

static int other_of(struct change *out, const Cardea__V1__Change *in, struct err *e)
{
	/* The others have messages of their own. */
	if (kind_of(&out->kind, in->other->kind) < 0 || out->kind < CHANGE_ROUTE) {
		out->kind = CHANGE_KINDS;
		return err_set(e, ERR_CONFLICT, "entity of unknown kind \"%.64s\"",
			       in->other->kind);
	}
	out->u.fields = fields_of(in->other->fields);
	return fields_check(out->u.fields, e);
}

static int removed_of(struct change *out, const Cardea__V1__Change *in, struct err *e)
{
	out->removed = true;
	if (kind_of(&out->kind, in->removed->kind) == 0)
		return 0;
	return err_set(e, ERR_CONFLICT, "removal of an entity of unknown kind \"%.64s\"",
		       in->removed->kind);
}

static int held_of(struct change *out, const Cardea__V1__Change *in, struct err *e)
{
	out->held = true;
	if (kind_of(&out->kind, in->held->kind) == 0)
		return 0;
	return err_set(e, ERR_CONFLICT, "hold of an entity of unknown kind \"%.64s\"",
		       in->held->kind);
}

/* kind: CHANGE_KINDS when the content says it. */
static const struct {
	Cardea__V1__Change__EntityCase which;
	enum change_kind kind;
	int (*read)(struct change *out, const Cardea__V1__Change *in, struct err *e);
} readers[] = {
	{CARDEA__V1__CHANGE__ENTITY_CERTIFICATE, CHANGE_CERTIFICATE, certificate_of},
	{CARDEA__V1__CHANGE__ENTITY_SNI, CHANGE_SNI, sni_of},
	{CARDEA__V1__CHANGE__ENTITY_CHALLENGE, CHANGE_CHALLENGE, challenge_of},
	{CARDEA__V1__CHANGE__ENTITY_TICKET_SECRET, CHANGE_TICKET_SECRET, ticket_of},
	{CARDEA__V1__CHANGE__ENTITY_OTHER, CHANGE_KINDS, other_of},
	{CARDEA__V1__CHANGE__ENTITY_HELD, CHANGE_KINDS, held_of},
	{CARDEA__V1__CHANGE__ENTITY_REMOVED, CHANGE_KINDS, removed_of},
};

/* After an error out->kind and id say which entity it is about, unless kind is CHANGE_KINDS. */
static int change_of(struct change *out, const Cardea__V1__Change *in, struct err *e)
{
	char id[UUID_TEXT_SIZE];

	memset(out, 0, sizeof(*out));
	out->kind = CHANGE_KINDS;
	if (copy_id(out->id, &in->id, "id of a change", e))
		return -1;
	uuid_text(out->id, id);
	for (size_t i = 0; i < array_len(readers); i++) {
		if (readers[i].which != in->entity_case)
			continue;
		out->kind = readers[i].kind;
		if (readers[i].read(out, in, e) == 0)
			return 0;
		return err_prefix(e, "change of %s", id);
	}
	return err_set(e, ERR_CONFLICT,
		       "change of %s: a kind of entity that this version does not know", id);
}

/* The bytes of the last field `number` (length-delimited) in a message that was unpacked
 * successfully: the generated code does not say where its parts were. */
static struct str field_bytes(struct str m, uint64_t number)
{
	struct str found = STR_NONE;
	size_t at = 0;

	while (at < m.len) {
		uint64_t head[2] = {0, 0}; /* key, then length or value */
		for (unsigned i = 0; i < 2; i++) {
			for (unsigned shift = 0; at < m.len && shift < 64; shift += 7) {
				unsigned char c = (unsigned char)m.ptr[at++];
				head[i] |= (uint64_t)(c & 0x7f) << shift;
				if (!(c & 0x80))
					break;
			}
			if (i == 0 && (head[0] & 7) != 0 && (head[0] & 7) != 2)
				break;
		}
		size_t skip = 0;
		if ((head[0] & 7) == 1)
			skip = 8;
		else if ((head[0] & 7) == 5)
			skip = 4;
		else if ((head[0] & 7) == 2)
			skip = head[1] < m.len ? (size_t)head[1] : m.len;
		if (skip > m.len - at)
			return STR_NONE;
		if (head[0] == (number << 3 | 2))
			found = (struct str){m.ptr + at, skip};
		at += skip;
	}
	return found;
}

static int epoch_of(struct str *out, const char *epoch, struct err *e)
{
	struct str s = str_from(epoch);
	if (s.len == 0 || s.len > EPOCH_MAX)
		return err_set(e, ERR_INVALID, "epoch has %zu bytes, must have 1 to %d", s.len,
			       EPOCH_MAX);
	*out = s;
	return 0;
}

static int answer_of(struct want_answer *out, const Cardea__V1__WantAnswer *in, struct err *e)
{
	if (in->verdict <= CARDEA__V1__WANT_ANSWER__VERDICT__UNKNOWN ||
	    (int)in->verdict >= (int)WANT_VERDICTS)
		return err_set(e, ERR_INVALID, "want_answer: verdict %d is not known",
			       (int)in->verdict);
	*out = (struct want_answer){.host = str_from(in->host),
				    .reason = str_from(in->reason),
				    .verdict = (enum want_verdict)in->verdict,
				    .seconds = in->seconds};
	return 0;
}

static int message_of(struct plane_message *out, const Cardea__V1__PlaneMessage *in,
		      struct str bytes, struct err *e)
{
	switch (in->message_case) {
	case CARDEA__V1__PLANE_MESSAGE__MESSAGE_SNAPSHOT_BEGIN:
		out->kind = PLANE_SNAPSHOT_BEGIN;
		out->revision = in->snapshot_begin->revision;
		out->changes = in->snapshot_begin->changes;
		return epoch_of(&out->epoch, in->snapshot_begin->epoch, e);
	case CARDEA__V1__PLANE_MESSAGE__MESSAGE_COMMIT:
		out->kind = PLANE_COMMIT;
		out->revision = in->commit->revision;
		out->since = in->commit->since;
		return epoch_of(&out->epoch, in->commit->epoch, e);
	case CARDEA__V1__PLANE_MESSAGE__MESSAGE_CHANGE:
		out->kind = PLANE_CHANGE;
		if (change_of(&out->change, in->change, e))
			return -1;
		out->change.encoded = field_bytes(bytes, CARDEA__V1__PLANE_MESSAGE__MESSAGE_CHANGE);
		return 0;
	case CARDEA__V1__PLANE_MESSAGE__MESSAGE_WANT_ANSWER:
		out->kind = PLANE_WANT_ANSWER;
		return answer_of(&out->answer, in->want_answer, e);
	default:
		return err_set(e, ERR_INVALID, "stream message of a kind that is not known");
	}
}

static void wipe(ProtobufCBinaryData *b)
{
	OPENSSL_cleanse(b->data, b->len);
}

static void change_wipe(const Cardea__V1__Change *c)
{
	if (c->entity_case == CARDEA__V1__CHANGE__ENTITY_TICKET_SECRET)
		wipe(&c->ticket_secret->secret);
	if (c->entity_case != CARDEA__V1__CHANGE__ENTITY_CERTIFICATE)
		return;
	for (size_t i = 0; i < c->certificate->n_pairs; i++)
		wipe(&c->certificate->pairs[i]->key);
}

/* unpacked is a PlaneMessage or a bare Change: the descriptor says which. */
static void unpacked_free(ProtobufCMessage *m)
{
	if (!m)
		return;
	if (m->descriptor == &cardea__v1__change__descriptor)
		change_wipe((const Cardea__V1__Change *)m);
	if (m->descriptor == &cardea__v1__plane_message__descriptor) {
		const Cardea__V1__PlaneMessage *p = (const Cardea__V1__PlaneMessage *)m;
		if (p->message_case == CARDEA__V1__PLANE_MESSAGE__MESSAGE_CHANGE)
			change_wipe(p->change);
	}
	protobuf_c_message_free_unpacked(m, NULL);
}

int plane_message_decode(struct plane_message *out, struct str bytes, struct err *e)
{
	struct plane_message m = {.kind = PLANE_CHANGE, .change.kind = CHANGE_KINDS};
	Cardea__V1__PlaneMessage *in = cardea__v1__plane_message__unpack(
		NULL, bytes.len, (const uint8_t *)(bytes.ptr ? bytes.ptr : ""));

	if (!in)
		return err_set(e, ERR_INVALID, "not a PlaneMessage (%zu bytes)", bytes.len);
	if (message_of(&m, in, bytes, e)) {
		out->named = m.kind == PLANE_CHANGE && m.change.kind < CHANGE_KINDS;
		out->change.kind = m.change.kind;
		memcpy(out->change.id, m.change.id, sizeof(out->change.id));
		unpacked_free(&in->base);
		return -1;
	}
	m.unpacked = in;
	*out = m;
	return 0;
}

int plane_change_decode(struct plane_message *out, struct str bytes, struct err *e)
{
	struct plane_message m = {.kind = PLANE_CHANGE};
	Cardea__V1__Change *in = cardea__v1__change__unpack(
		NULL, bytes.len, (const uint8_t *)(bytes.ptr ? bytes.ptr : ""));

	if (!in)
		return err_set(e, ERR_INVALID, "not a Change (%zu bytes)", bytes.len);
	if (change_of(&m.change, in, e)) {
		unpacked_free(&in->base);
		return -1;
	}
	m.change.encoded = bytes;
	m.unpacked = in;
	*out = m;
	return 0;
}

void plane_message_free(struct plane_message *m)
{
	unpacked_free(m->unpacked);
	m->unpacked = NULL;
}

static int pack(struct buf *out, const Cardea__V1__NodeMessage *m, struct err *e)
{
	size_t n = cardea__v1__node_message__get_packed_size(m);
	if (buf_reserve(out, n, e))
		return -1;
	out->len += cardea__v1__node_message__pack(m, (uint8_t *)out->data + out->len);
	out->data[out->len] = '\0';
	return 0;
}

/* The generated structs take plain char *; packing only reads them. */
static char *text(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = {.in = s ? s : ""};
	return u.out;
}

static ProtobufCBinaryData binary(const unsigned char *bytes, size_t n)
{
	union {
		const unsigned char *in;
		uint8_t *out;
	} u = {.in = bytes};
	return (ProtobufCBinaryData){.len = bytes ? n : 0, .data = u.out};
}

int node_encode_hello(struct buf *out, const struct node_hello *h, struct err *e)
{
	Cardea__V1__NodeMessage m;
	Cardea__V1__Hello hello;
	Cardea__V1__Hello__LabelsEntry *entries = calloc(h->label_count + 1, sizeof(*entries));
	Cardea__V1__Hello__LabelsEntry **labels = calloc(h->label_count + 1, sizeof(*labels));
	int rc = -1;

	if (!entries || !labels) {
		(void)err_memory(e, "hello");
		goto out;
	}
	for (size_t i = 0; i < h->label_count; i++) {
		cardea__v1__hello__labels_entry__init(&entries[i]);
		entries[i].key = text(h->label_names[i]);
		entries[i].value = text(h->label_values[i]);
		labels[i] = &entries[i];
	}
	cardea__v1__node_message__init(&m);
	cardea__v1__hello__init(&hello);
	hello.node_id = text(h->node_id);
	hello.version = text(h->version);
	hello.hostname = text(h->hostname);
	hello.epoch = text(h->epoch);
	hello.revision = h->revision;
	hello.labels = labels;
	hello.n_labels = h->label_count;
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_HELLO;
	m.hello = &hello;
	rc = pack(out, &m, e);
out:
	free(labels);
	free(entries);
	return rc;
}

int node_encode_want(struct buf *out, const char *host, const char *client, struct err *e)
{
	Cardea__V1__NodeMessage m;
	Cardea__V1__WantCertificate want;

	cardea__v1__node_message__init(&m);
	cardea__v1__want_certificate__init(&want);
	want.host = text(host);
	want.client = text(client);
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_WANT_CERTIFICATE;
	m.want_certificate = &want;
	return pack(out, &m, e);
}

int node_encode_ack(struct buf *out, uint64_t revision, struct err *e)
{
	Cardea__V1__NodeMessage m;
	Cardea__V1__Ack ack;

	cardea__v1__node_message__init(&m);
	cardea__v1__ack__init(&ack);
	ack.revision = revision;
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_ACK;
	m.ack = &ack;
	return pack(out, &m, e);
}

int node_encode_nack(struct buf *out, uint64_t revision, const char *kind,
		     const unsigned char id[16], const char *reason, struct err *e)
{
	Cardea__V1__NodeMessage m;
	Cardea__V1__Nack nack;

	cardea__v1__node_message__init(&m);
	cardea__v1__nack__init(&nack);
	nack.revision = revision;
	nack.kind = text(kind);
	nack.id = binary(id, ID_SIZE);
	nack.reason = text(reason);
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_NACK;
	m.nack = &nack;
	return pack(out, &m, e);
}

int node_encode_hits(struct buf *out, const struct node_hit *hits, size_t n, struct err *e)
{
	Cardea__V1__NodeMessage m;
	Cardea__V1__Report report;
	Cardea__V1__ChallengeHit *items = NULL;
	Cardea__V1__ChallengeHit **list = NULL;
	int rc = -1;

	if (n > HITS_MAX)
		return err_set(e, ERR_LIMIT, "a report of %zu hits, at most %d fit", n, HITS_MAX);
	items = calloc(n + 1, sizeof(*items));
	list = calloc(n + 1, sizeof(struct Cardea__V1__ChallengeHit *));
	if (!items || !list) {
		(void)err_memory(e, "report");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		cardea__v1__challenge_hit__init(&items[i]);
		items[i].challenge_id = binary(hits[i].challenge_id, ID_SIZE);
		items[i].count = hits[i].count;
		list[i] = &items[i];
	}
	cardea__v1__node_message__init(&m);
	cardea__v1__report__init(&report);
	report.challenge_hits = list;
	report.n_challenge_hits = n;
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_REPORT;
	m.report = &report;
	rc = pack(out, &m, e);
out:
	free(list);
	free(items);
	return rc;
}

int node_encode_targets(struct buf *out, const struct node_target *targets, size_t n, bool begin,
			struct err *e)
{
	Cardea__V1__NodeMessage m;
	Cardea__V1__Report report;
	Cardea__V1__TargetHealth *items = calloc(n + 1, sizeof(*items));
	Cardea__V1__TargetHealth **list = calloc(n + 1, sizeof(Cardea__V1__TargetHealth *));
	int rc = -1;

	if (!items || !list) {
		(void)err_memory(e, "report");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		cardea__v1__target_health__init(&items[i]);
		items[i].upstream_id = binary(targets[i].upstream, ID_SIZE);
		items[i].target_id = binary(targets[i].target, ID_SIZE);
		items[i].address = text(targets[i].address);
		items[i].weight = targets[i].weight;
		items[i].health = (Cardea__V1__TargetHealth__State)targets[i].verdict;
		list[i] = &items[i];
	}
	cardea__v1__node_message__init(&m);
	cardea__v1__report__init(&report);
	report.targets = list;
	report.n_targets = n;
	report.targets_begin = begin;
	m.message_case = CARDEA__V1__NODE_MESSAGE__MESSAGE_REPORT;
	m.report = &report;
	rc = pack(out, &m, e);
out:
	free(list);
	free(items);
	return rc;
}
