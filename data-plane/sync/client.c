/* The stream to a control plane.
 *
 *   happy path:        timer -> call -> on_open: Hello -> SnapshotBegin?, Change*, Commit -> Ack
 *   refused revision:  first bad Change, or the commit -> the rest is skipped -> Nack at the Commit
 *                      -> the stream goes on; deltas that stand on what was refused are dropped
 *   bytes that are no message, a broken contract: the call is closed
 *   call fails or ends: rollback -> full jitter -> next address;  close: call and timers -> closed
 */
#include "data-plane/sync/client.h"

#include <inttypes.h>

#include "common/core/log.h"
#include "common/core/sm.h"
#include "common/http/call.h"
#include "common/http/grpc.h"
#include "common/net/tls.h"
#include "data-plane/sync/backoff.h"
#include "data-plane/sync/client_conf.h"

enum { HITS_MAX = 256, REPORT_MS = 5 };

enum sync_state { SYNC_WAITING, SYNC_CONNECTING, SYNC_OPEN, SYNC_CLOSED, SYNC_STATES };

static const struct sm_state states[SYNC_STATES] = {
	[SYNC_WAITING] = {"waiting", SM_TO(SYNC_CONNECTING) | SM_TO(SYNC_CLOSED)},
	[SYNC_CONNECTING] = {"connecting",
			     SM_TO(SYNC_OPEN) | SM_TO(SYNC_WAITING) | SM_TO(SYNC_CLOSED)},
	[SYNC_OPEN] = {"open", SM_TO(SYNC_WAITING) | SM_TO(SYNC_CLOSED)},
	[SYNC_CLOSED] = {"closed", 0},
};
static const struct sm machine = {"sync", states, SYNC_STATES};

struct sync_client {
	enum sync_state state;
	struct loop *loop;
	struct apply *apply;
	struct sync_client_conf conf; /* strings below replace its own */
	struct sync_addresses addresses;
	size_t next; /* address to try */
	struct sync_labels labels;
	char *node_id, *hostname, *server_name;
	SSL_CTX *tls;

	struct call *call; /* NULL while waiting */
	struct grpc_reader reader;
	unsigned failures; /* streams in a row that brought no commit */
	struct timer retry;
	struct err problem; /* why there is no stream */
	bool has_reason;    /* problem was set by this side, or by a gRPC status, for this call */

	bool snapshot;		      /* SnapshotBegin came, its Commit did not */
	bool staged;		      /* apply holds changes of a revision in progress */
	bool refused;		      /* a change of it was refused */
	struct err refusal;	      /* why */
	struct apply_culprit culprit; /* of it */

	struct node_hit hits[HITS_MAX]; /* not reported yet */
	size_t hit_count;
	struct timer report;

	unsigned open; /* timers and call not closed yet */
	void (*closed)(void *arg);
	void *closed_arg;
};

static void sync_move(struct sync_client *s, enum sync_state to)
{
	s->state = (enum sync_state)sm_move(&machine, s->state, to, NULL);
}

static void tell(struct sync_client *s)
{
	if (s->conf.on_change)
		s->conf.on_change(s->conf.arg);
}

/* Ends the call for a reason of our own. */
static void give_up(struct sync_client *s, const struct err *why)
{
	if (!s->has_reason) {
		s->problem = *why;
		s->has_reason = true;
	}
	if (s->call)
		call_close(s->call);
}

/* --- sending --- */

/* Frees message. */
static void send_message(struct sync_client *s, struct buf *message, int encoded, struct err *e)
{
	struct buf framed = BUF_INIT;

	if (encoded || grpc_frame(&framed, buf_str(message), e)) {
		give_up(s, e);
	} else if (!call_write(s->call, buf_str(&framed))) {
		(void)err_set(e, ERR_TIMEOUT, "the control plane does not read");
		give_up(s, e);
	}
	buf_deinit(&framed);
	buf_deinit(message);
}

static void send_hello(struct sync_client *s)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	const struct node_hello h = {.node_id = s->node_id,
				     .version = CARDEA_VERSION,
				     .hostname = s->hostname,
				     .epoch = apply_epoch(s->apply),
				     .label_names = s->labels.names,
				     .label_values = s->labels.values,
				     .label_count = s->labels.count,
				     .revision = apply_revision(s->apply)};

	apply_restart(s->apply);
	send_message(s, &b, node_encode_hello(&b, &h, &e), &e);
}

static void send_ack(struct sync_client *s, uint64_t revision)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	send_message(s, &b, node_encode_ack(&b, revision, &e), &e);
}

static void send_nack(struct sync_client *s, uint64_t revision)
{
	const char *kind = s->culprit.kind ? s->culprit.kind : "";
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	log_error("revision refused; what was held goes on", log_u64("revision", revision),
		  log_u64("held", apply_revision(s->apply)), log_str("kind", kind),
		  log_err(&s->refusal));
	send_message(s, &b,
		     node_encode_nack(&b, revision, kind, kind[0] ? s->culprit.id : NULL,
				      s->refusal.message, &e),
		     &e);
}

static void on_report(struct timer *t)
{
	struct sync_client *s = container_of(t, struct sync_client, report);
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	if (s->state != SYNC_OPEN || s->hit_count == 0)
		return;
	send_message(s, &b, node_encode_hits(&b, s->hits, s->hit_count, &e), &e);
	s->hit_count = 0;
}

bool sync_client_send(struct sync_client *s, struct buf *message)
{
	struct err e = ERR_INIT;

	if (s->state != SYNC_OPEN)
		return false;
	send_message(s, message, 0, &e);
	return true;
}

void sync_client_hit(struct sync_client *s, const unsigned char challenge_id[16], uint32_t count)
{
	size_t i = 0;

	while (i < s->hit_count && memcmp(s->hits[i].challenge_id, challenge_id, 16) != 0)
		i++;
	if (i == HITS_MAX) {
		log_warn("hits of a challenge are not reported: too many wait",
			 log_u64("waiting", s->hit_count));
		return;
	}
	if (i == s->hit_count) {
		s->hits[s->hit_count].count = 0;
		memcpy(s->hits[s->hit_count++].challenge_id, challenge_id, 16);
	}
	s->hits[i].count =
		count > UINT32_MAX - s->hits[i].count ? UINT32_MAX : s->hits[i].count + count;
	if (s->state == SYNC_OPEN && !timer_active(&s->report))
		timer_start(&s->report, REPORT_MS, 0);
}

/* --- what the control plane says --- */

static void drop_staged(struct sync_client *s)
{
	if (s->staged)
		apply_rollback(s->apply);
	s->staged = false;
	s->snapshot = false;
	s->refused = false;
	s->culprit = (struct apply_culprit){.kind = ""};
}

/* The revision in progress cannot be taken: nothing more of it is looked at. Without memory nothing
 * is said about the entity. */
static void refuse(struct sync_client *s, const struct err *why, const struct change *at)
{
	if (s->staged)
		apply_rollback(s->apply);
	s->staged = false;
	s->refused = true;
	s->refusal = *why;
	s->culprit = (struct apply_culprit){.kind = ""};
	if (at && why->kind != ERR_MEMORY) {
		s->culprit.kind = change_kind_name(at->kind);
		memcpy(s->culprit.id, at->id, sizeof(s->culprit.id));
	}
}

static void take_begin(struct sync_client *s, const struct plane_message *m)
{
	struct err e = ERR_INIT;

	drop_staged(s);
	s->snapshot = true;
	s->staged = true;
	log_info("snapshot begins", log_u64("revision", m->revision),
		 log_u64("changes", m->changes));
	if (apply_begin_snapshot(s->apply, m->epoch, m->revision, &e))
		refuse(s, &e, NULL);
}

static void take_change(struct sync_client *s, const struct plane_message *m)
{
	struct err e = ERR_INIT;

	if (s->refused)
		return;
	s->staged = true;
	if (apply_change(s->apply, &m->change, &e))
		refuse(s, &e, &m->change);
}

/* Whether a delta stands on what is held; false: on a revision that this node refused. */
static bool follows(const struct sync_client *s, const struct plane_message *m)
{
	return str_eq(m->epoch, str_from(apply_epoch(s->apply))) &&
	       m->since <= apply_revision(s->apply);
}

/* The revision is held: all of it, but for what the cache had and this node died of. */
static void answer(struct sync_client *s, uint64_t revision)
{
	if (apply_suspect(s->apply, &s->culprit, &s->refusal))
		send_nack(s, revision);
	else
		send_ack(s, revision);
}

static void commit(struct sync_client *s, const struct plane_message *m)
{
	struct apply_culprit culprit = {.kind = ""};
	struct err e = ERR_INIT;

	if (apply_commit(s->apply, m->epoch, m->revision, &culprit, &e) == 0) {
		s->staged = false;
		s->failures = 0;
		answer(s, m->revision);
		tell(s);
		return;
	}
	s->staged = true;
	refuse(s, &e, NULL);
	if (e.kind != ERR_MEMORY)
		s->culprit = culprit;
	send_nack(s, m->revision);
}

static void take_commit(struct sync_client *s, const struct plane_message *m)
{
	if (!s->snapshot && !follows(s, m)) {
		log_info("delta dropped: it stands on a refused revision",
			 log_u64("revision", m->revision), log_u64("since", m->since));
	} else if (s->refused) {
		send_nack(s, m->revision);
	} else if (!s->snapshot && m->revision == apply_revision(s->apply)) {
		s->failures = 0;
		answer(s, m->revision);
	} else {
		commit(s, m);
	}
	drop_staged(s);
}

static void take_answer(struct sync_client *s, const struct plane_message *m)
{
	if (s->conf.on_want_answer)
		s->conf.on_want_answer(&m->answer, s->conf.arg);
}

static void (*const takers[])(struct sync_client *s, const struct plane_message *m) = {
	[PLANE_SNAPSHOT_BEGIN] = take_begin,
	[PLANE_CHANGE] = take_change,
	[PLANE_COMMIT] = take_commit,
	[PLANE_WANT_ANSWER] = take_answer,
};

static int on_message(struct str bytes, void *arg, struct err *e)
{
	struct sync_client *s = arg;
	struct plane_message m;
	struct err why = ERR_INIT;

	if (plane_message_decode(&m, bytes, &why)) {
		if (why.kind != ERR_CONFLICT) {
			*e = why;
			return -1;
		}
		if (!s->refused)
			refuse(s, &why, m.named ? &m.change : NULL);
		return 0;
	}
	takers[m.kind](s, &m);
	plane_message_free(&m);
	return 0;
}

/* --- the call --- */

static void on_open(struct call *c, void *arg)
{
	(void)c;
	send_hello(arg);
}

/* A gRPC status other than OK is the reason why the stream ends. */
static void note_status(struct sync_client *s, const struct http_fields *f)
{
	struct str status = http_fields_get(f, STR("grpc-status"));
	struct str message = http_fields_get(f, STR("grpc-message"));

	if (!status.ptr || str_eq(status, STR("0")) || s->has_reason)
		return;
	(void)err_set(&s->problem, ERR_UNAVAILABLE,
		      "control plane ended the stream: status %.*s %.*s",
		      (int)(status.len < 8 ? status.len : 8), status.ptr,
		      (int)(message.len < 200 ? message.len : 200), message.ptr ? message.ptr : "");
	s->has_reason = true;
}

static void on_head(struct call *c, unsigned status, const struct http_fields *fields, void *arg)
{
	struct sync_client *s = arg;
	struct err e = ERR_INIT;

	(void)c;
	note_status(s, fields);
	if (status != 200 ||
	    !str_starts(http_fields_get(fields, STR("content-type")), STR("application/grpc"))) {
		(void)err_set(&e, ERR_UNAVAILABLE, "not a gRPC server: status %u", status);
		give_up(s, &e);
		return;
	}
	if (s->has_reason)
		return;
	sync_move(s, SYNC_OPEN);
	log_info("stream to control plane is open",
		 log_str("host", s->addresses.items[s->next].host),
		 log_u64("port", s->addresses.items[s->next].port),
		 log_u64("held", apply_revision(s->apply)));
	if (s->hit_count > 0)
		timer_start(&s->report, REPORT_MS, 0);
	tell(s);
}

static void on_data(struct call *c, struct str bytes, void *arg)
{
	struct sync_client *s = arg;
	struct err e = ERR_INIT;

	(void)c;
	if (s->has_reason || s->state != SYNC_OPEN)
		return;
	if (grpc_feed(&s->reader, bytes, on_message, s, &e)) {
		log_error("control plane broke the stream's contract", log_err(&e));
		give_up(s, &e);
	}
}

static void on_trailers(struct call *c, const struct http_fields *trailers, void *arg)
{
	(void)c;
	note_status(arg, trailers);
}

static void release(struct sync_client *s)
{
	if (--s->open > 0)
		return;
	SSL_CTX_free(s->tls);
	sync_labels_deinit(&s->labels);
	free(s->node_id);
	free(s->hostname);
	free(s->server_name);
	if (s->closed)
		s->closed(s->closed_arg);
	free(s);
}

static void try_later(struct sync_client *s)
{
	uint64_t ms = backoff_ms(s->failures);

	log_warn("no stream to a control plane", log_str("host", s->addresses.items[s->next].host),
		 log_u64("port", s->addresses.items[s->next].port), log_u64("retry_ms", ms),
		 log_err(&s->problem));
	if (s->failures < 16)
		s->failures++;
	s->next = (s->next + 1) % s->addresses.count;
	sync_move(s, SYNC_WAITING);
	timer_start(&s->retry, ms, 0);
	tell(s);
}

static void on_close(struct call *c, const struct err *why, void *arg)
{
	struct sync_client *s = arg;

	(void)c;
	s->call = NULL;
	grpc_reader_deinit(&s->reader);
	if (s->state != SYNC_CLOSED) {
		drop_staged(s);
		if (!s->has_reason && why->kind != ERR_NONE)
			s->problem = *why;
		else if (!s->has_reason)
			(void)err_set(&s->problem, ERR_UNAVAILABLE,
				      "the control plane ended the stream");
		try_later(s);
	}
	release(s);
}

static const struct call_events call_events = {
	.on_open = on_open,
	.on_head = on_head,
	.on_data = on_data,
	.on_trailers = on_trailers,
	.on_close = on_close,
};

static void on_retry(struct timer *t)
{
	struct sync_client *s = container_of(t, struct sync_client, retry);
	const struct sync_address *a = &s->addresses.items[s->next];
	const struct call_options o = {.host = a->host,
				       .port = a->port,
				       .server_name = s->server_name ? s->server_name : a->host,
				       .tls = s->tls,
				       .path = "/cardea.v1.Fleet/Sync",
				       .ping_ms = s->conf.keepalive_ms,
				       .events = &call_events,
				       .arg = s};

	sync_move(s, SYNC_CONNECTING);
	s->has_reason = false;
	if (call_start(&s->call, s->loop, &o, &s->problem)) {
		try_later(s);
		return;
	}
	grpc_reader_init(&s->reader, 0);
	s->open++;
}

/* --- configuration --- */

static int configure(struct sync_client *s, const struct sync_client_conf *c, struct err *e)
{
	const struct tls_options tls = {.cert_file = c->cert_file,
					.key_file = c->key_file,
					.ca_file = c->ca_file,
					.verify_peer = true,
					.http2 = true};

	s->node_id = str_dup(str_from(c->node_id));
	s->hostname = str_dup(str_from(c->hostname));
	s->server_name = c->server_name ? str_dup(str_from(c->server_name)) : NULL;
	if (!s->node_id || !s->hostname || (c->server_name && !s->server_name))
		return err_memory(e, "stream client");
	if (sync_addresses_parse(&s->addresses, c->control_planes, e) ||
	    sync_labels_parse(&s->labels, c->labels, e))
		return -1;
	if (tls_context(&s->tls, &tls, e))
		return err_prefix(e, "cluster_cert, cluster_cert_key, cluster_ca_cert");
	return 0;
}

/* --- life --- */

int sync_client_start(struct sync_client **out, struct loop *l, struct apply *a,
		      const struct sync_client_conf *c, struct err *e)
{
	struct sync_client *s = calloc(1, sizeof(*s));

	if (!s)
		return err_memory(e, "stream client");
	s->loop = l;
	s->apply = a;
	s->conf = *c;
	s->culprit.kind = "";
	s->open = 1;
	if (configure(s, c, e)) {
		release(s);
		return -1;
	}
	(void)err_set(&s->problem, ERR_UNAVAILABLE, "no control plane was reached yet");
	timer_init(&s->retry, l, on_retry);
	timer_init(&s->report, l, on_report);
	s->open = 2;
	timer_start(&s->retry, 0, 0);
	*out = s;
	return 0;
}

static void retry_closed(struct timer *t)
{
	release(container_of(t, struct sync_client, retry));
}

static void report_closed(struct timer *t)
{
	release(container_of(t, struct sync_client, report));
}

void sync_client_close(struct sync_client *s, void (*closed)(void *arg), void *arg)
{
	s->closed = closed;
	s->closed_arg = arg;
	sync_move(s, SYNC_CLOSED);
	drop_staged(s);
	if (s->call)
		call_close(s->call);
	timer_close(&s->retry, retry_closed);
	timer_close(&s->report, report_closed);
}

bool sync_client_connected(const struct sync_client *s)
{
	return s->state == SYNC_OPEN;
}

const char *sync_client_problem(const struct sync_client *s)
{
	return s->state == SYNC_OPEN ? "" : s->problem.message;
}
