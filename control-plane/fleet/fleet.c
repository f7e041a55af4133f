/* The data planes of this control plane: wires the store's feed to the image, the image to the
 * streams, and what nodes answer to the barrier and the nodes table.
 *
 *     store feed ─▶ image ─▶ node cursors ─▶ streams ─▶ data planes
 *                                                │ acks, nacks, hits
 *     barriers ◀── members ◀─────────────────────┤
 *                     ▲                          ▼
 *                     └──── other control planes: nodes table and its notifications
 */
#include "control-plane/fleet/fleet.h"

#include <inttypes.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/fleet/barrier.h"
#include "control-plane/fleet/health_share.h"
#include "control-plane/fleet/image.h"
#include "control-plane/fleet/level.h"
#include "control-plane/fleet/member.h"
#include "control-plane/fleet/nodes_table.h"
#include "control-plane/fleet/refusals.h"
#include "control-plane/fleet/stream.h"
#include "control-plane/fleet/ticket_secret.h"

enum { TICK_MS = 500, WANT_OFF_S = 60 };

struct fleet {
	struct loop *loop;
	struct store *store;
	char self[UUID_TEXT_SIZE];
	struct image image;
	struct members members;
	struct barriers barriers;
	struct refusals refusals;
	struct health_share health;
	struct nodes_table table;
	struct stream_server server;
	struct ticket_keeper tickets;
	struct level level;
	struct timer tick; /* expiry of members, nodes that are ahead, the log level */
	bool have_refusals;
	bool have_table;
	bool have_tickets;
	bool closing;
	unsigned open; /* parts not closed yet */
	void (*closed)(void *arg);
	void *closed_arg;
	void (*on_hit)(const char *challenge_id, const char *node_id, uint32_t count, void *arg);
	void *on_hit_arg;
	void (*on_want)(const struct fleet_want *w, void *arg);
	void *on_want_arg;
	struct metric_series *metric_nodes, *metric_revision, *metric_entities, *metric_sent,
		*metric_nacks, *metric_held, *metric_unencoded;
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / 1000000;
}

/* --- nodes --- */

static struct stream *stream_at(struct link *l)
{
	return container_of(l, struct stream, link);
}

static json_t *nack_json(const struct node_nack *n)
{
	if (n->revision == 0)
		return json_null();
	return json_pack("{s:I, s:s, s:s, s:s, s:I}", "revision", (json_int_t)n->revision, "kind",
			 n->kind, "id", n->id, "reason", n->reason, "at", (json_int_t)n->at);
}

/* Tells members, barriers and the nodes table what a stream's node is like now. */
static void publish(struct fleet *f, const struct stream *s, bool connected)
{
	const struct node *n = &s->node;
	struct err e = ERR_INIT;
	const struct member_report r = {.id = n->id,
					.hostname = n->hostname,
					.revision = f->image.ready ? node_acked(n) : 0,
					.connected = connected,
					.local = true,
					.seen_ms = now_ms()};

	if (members_report(&f->members, &r, &e))
		log_error("a data plane is not counted", log_str("node", n->id), log_err(&e));
	barriers_check(&f->barriers);
	nodes_table_put(&f->table, n->id,
			json_pack("{s:s, s:s, s:s, s:s, s:O, s:o, s:s, s:I, s:o, s:b}", "id", n->id,
				  "hostname", n->hostname, "ip", s->ip, "version", n->version,
				  "labels", n->labels, "cert_not_after",
				  s->cert_not_after ? json_integer(s->cert_not_after) : json_null(),
				  "epoch", f->image.epoch, "revision", (json_int_t)r.revision,
				  "nack", nack_json(&n->nack), "connected", connected));
}

static void on_hello(struct stream *s, void *arg)
{
	struct fleet *f = arg;

	list_for_each_safe(l, &f->server.streams)
	{
		struct stream *other = stream_at(l);
		if (other == s || other->ended || strcmp(other->node.id, s->node.id) != 0)
			continue;
		log_warn("a newer stream of the same data plane replaces one",
			 log_str("node", s->node.id), log_str("old", other->ip),
			 log_str("new", s->ip));
		stream_end(other, GRPC_UNAVAILABLE, "replaced by a newer stream of this node");
	}
	log_info("data plane connected", log_str("node", s->node.id),
		 log_str("hostname", s->node.hostname), log_str("ip", s->ip),
		 log_str("version", s->node.version), log_u64("revision", node_acked(&s->node)),
		 log_str("state", node_state_name(s->node.state)));
	publish(f, s, true);
}

static void on_answer(struct stream *s, void *arg)
{
	struct fleet *f = arg;

	if (s->node.nack.revision && f->metric_nacks)
		metric_add(f->metric_nacks, 1);
	refusals_note(&f->refusals, &s->node);
	publish(f, s, true);
}

static void on_stream_hit(struct stream *s, const char *challenge_id, uint32_t count, void *arg)
{
	struct fleet *f = arg;

	nodes_table_hit(&f->table, challenge_id, s->node.id, count);
	if (f->on_hit)
		f->on_hit(challenge_id, s->node.id, count, f->on_hit_arg);
}

static void on_targets_begin(struct stream *s, void *arg)
{
	struct fleet *f = arg;

	health_share_begin(&f->health, s->node.id);
}

static void on_target(struct stream *s, const struct target_report *r, void *arg)
{
	struct fleet *f = arg;

	health_share_report(&f->health, s->node.id, r);
}

static void on_want(struct stream *s, const char *host, const char *client, void *arg)
{
	struct fleet *f = arg;
	const struct fleet_want w = {s->node.id, s->node.hostname, host, client};
	const struct want_answer off = {.host = host,
					.verdict = WANT_REFUSED,
					.seconds = WANT_OFF_S,
					.reason = "this control plane does not issue on demand"};

	if (f->on_want)
		f->on_want(&w, f->on_want_arg);
	else
		stream_answer_want(s, &off);
}

static void on_gone(struct stream *s, void *arg)
{
	struct fleet *f = arg;

	list_for_each(l, &f->server.streams)
	{
		if (strcmp(stream_at(l)->node.id, s->node.id) == 0)
			return;
	}
	health_share_forget(&f->health, s->node.id);
	publish(f, s, false);
}

/* --- other control planes --- */

static void on_row(const struct nodes_row *row, void *arg)
{
	struct fleet *f = arg;
	uint64_t now = now_ms();
	uint64_t age = row->age_ms > 0 ? (uint64_t)row->age_ms : 0;
	bool same = f->image.ready && strcmp(row->epoch, f->image.epoch) == 0;
	struct err e = ERR_INIT;
	const struct member_report r = {.id = row->id,
					.hostname = row->hostname,
					.revision = same ? row->revision : 0,
					.connected = row->connected,
					.control_plane = row->control_plane,
					.seen_ms = age < now ? now - age : 0};

	if (members_report(&f->members, &r, &e))
		log_error("a data plane is not counted", log_str("node", row->id), log_err(&e));
	barriers_check(&f->barriers);
}

static void on_view(uint64_t view, void *arg)
{
	struct fleet *f = arg;

	barriers_viewed(&f->barriers, view);
}

static void on_remote_hit(const char *challenge_id, const char *node_id, uint32_t count, void *arg)
{
	struct fleet *f = arg;

	if (f->on_hit)
		f->on_hit(challenge_id, node_id, count, f->on_hit_arg);
}

/* --- the feed --- */

static void on_reset(const char *epoch, void *arg)
{
	struct fleet *f = arg;
	bool other = f->image.epoch[0] && strcmp(f->image.epoch, epoch) != 0;

	if (other)
		log_error("the database has another history: every data plane takes a snapshot",
			  log_str("epoch", epoch), log_str("was", f->image.epoch));
	list_for_each_safe(l, &f->server.streams)
	{
		struct stream *s = stream_at(l);
		if (other)
			stream_end(s, GRPC_UNAVAILABLE, "the epoch changed");
		node_image_reset(&s->node, other);
	}
	if (other) {
		members_forget_acks(&f->members);
		health_share_void(&f->health);
		barriers_known(&f->barriers, 0);
	}
	image_reset(&f->image, epoch);
}

static void on_change(const struct feed_change *c, void *arg)
{
	struct fleet *f = arg;
	struct err e = ERR_INIT;
	int rc = c->refused ? image_hold(&f->image, c->entity, c->id, c->refused, c->revision, &e)
			    : image_put(&f->image, c->entity, c->id, c->row, c->revision, &e);

	if (rc == 0 && c->refused)
		barriers_refuse(&f->barriers, c->refused);
	if (rc == 0)
		return;
	if (f->metric_unencoded)
		metric_add(f->metric_unencoded, 1);
	log_error("an entity cannot be sent to data planes; they keep what they have of it",
		  log_str("kind", c->entity->name), log_str("id", c->id),
		  log_u64("revision", c->revision), log_err(&e));
}

static void look_at_streams(struct fleet *f)
{
	uint64_t now = now_ms();

	f->image.seen_ms = store_followed_ns(f->store) / 1000000;
	list_for_each_safe(l, &f->server.streams)
	{
		struct stream *s = stream_at(l);
		if (s->ended)
			continue;
		node_image_commit(&s->node, &f->image, now);
		if (node_should_leave(&s->node, now))
			stream_end(s, GRPC_UNAVAILABLE, "this control plane has read less");
		else
			stream_kick(s);
	}
}

static void on_commit(uint64_t revision, uint64_t floor, void *arg)
{
	struct fleet *f = arg;
	bool first = !f->image.ready;

	image_commit(&f->image, revision, floor);
	barriers_known(&f->barriers, revision);
	look_at_streams(f);
	if (first)
		log_info("image of all entities is loaded", log_u64("revision", revision),
			 log_u64("entities", f->image.live), log_str("epoch", f->image.epoch));
	/* Revisions of rows that were read before the epoch was known counted as nothing. */
	if (first && !f->closing)
		(void)nodes_table_refresh(&f->table);
	if (first)
		list_for_each_safe(l, &f->server.streams) if (stream_at(l)->node.state != NODE_NEW)
			publish(f, stream_at(l), true);
}

static void on_nodes(const char *payload, void *arg)
{
	struct fleet *f = arg;

	nodes_table_notified(&f->table, payload);
	level_notified(&f->level, f->self, payload, now_ms());
}

/* --- time and metrics --- */

static void on_tick(struct timer *t)
{
	struct fleet *f = container_of(t, struct fleet, tick);

	members_expire(&f->members, now_ms());
	level_tick(&f->level, now_ms());
	barriers_check(&f->barriers);
	refusals_tick(&f->refusals);
	if (f->image.ready && !f->image.open)
		look_at_streams(f);
}

static void on_render(void *arg)
{
	struct fleet *f = arg;
	uint64_t sent = f->server.sent;
	double shown = metric_value(f->metric_sent);
	uint64_t nodes = 0;

	list_for_each(l, &f->server.streams) nodes += stream_at(l)->node.state != NODE_NEW;
	metric_set(f->metric_nodes, (double)nodes);
	metric_set(f->metric_revision, (double)f->image.revision);
	metric_set(f->metric_entities, (double)f->image.live);
	metric_set(f->metric_held, (double)f->image.held);
	if ((double)sent > shown)
		metric_add(f->metric_sent, sent - (uint64_t)shown);
}

static struct metric_series *plain(struct metrics *m, enum metric_type type, const char *name,
				   const char *help)
{
	struct metric_family *f = metrics_family(m, type, name, help, NULL, NULL, 0);

	return f ? metrics_series(f, NULL) : NULL;
}

static int make_metrics(struct fleet *f, struct metrics *m, struct err *e)
{
	if (!m)
		return 0;
	f->metric_nodes = plain(m, METRIC_GAUGE, "cardea_fleet_nodes",
				"Data planes with a stream to this control plane");
	f->metric_revision = plain(m, METRIC_GAUGE, "cardea_fleet_revision",
				   "Revision that this control plane has read");
	f->metric_entities =
		plain(m, METRIC_GAUGE, "cardea_fleet_entities", "Entities that data planes hold");
	f->metric_sent = plain(m, METRIC_COUNTER, "cardea_fleet_sent_bytes_total",
			       "Bytes of stream messages given to connections");
	f->metric_nacks = plain(m, METRIC_COUNTER, "cardea_fleet_nacks_total",
				"Revisions that data planes refused");
	f->metric_held = plain(m, METRIC_GAUGE, "cardea_fleet_held_entities",
			       "Entities held back because a data plane refused them");
	f->metric_unencoded = plain(m, METRIC_COUNTER, "cardea_fleet_unencoded_total",
				    "Changes of entities that have no wire form");
	if (!f->metric_nodes || !f->metric_revision || !f->metric_entities || !f->metric_sent ||
	    !f->metric_nacks || !f->metric_held || !f->metric_unencoded)
		return err_memory(e, "metrics");
	return metrics_on_render(m, on_render, f, e);
}

/* --- life --- */

static void part_closed(void *arg)
{
	struct fleet *f = arg;

	if (--f->open > 0)
		return;
	image_deinit(&f->image);
	members_deinit(&f->members);
	if (f->closed)
		f->closed(f->closed_arg);
	free(f);
}

static void tick_closed(struct timer *t)
{
	part_closed(container_of(t, struct fleet, tick));
}

/* Streams first: their nodes' last rows are then written by the table. */
static void streams_closed(void *arg)
{
	struct fleet *f = arg;

	f->open += f->have_refusals ? 1 : 0;
	f->open += f->have_table ? 1 : 0;
	f->open += f->have_tickets ? 1 : 0;
	f->open += 2;
	if (f->have_refusals)
		refusals_close(&f->refusals, part_closed, f);
	if (f->have_table)
		nodes_table_close(&f->table, part_closed, f);
	if (f->have_tickets)
		ticket_keeper_close(&f->tickets, part_closed, f);
	health_share_close(&f->health, part_closed, f);
	barriers_close(&f->barriers, part_closed, f);
	part_closed(f);
}

void fleet_close(struct fleet *f, void (*closed)(void *arg), void *arg)
{
	f->closing = true;
	f->closed = closed;
	f->closed_arg = arg;
	f->open = 2;
	store_unfollow(f->store);
	timer_close(&f->tick, tick_closed);
	stream_server_close(&f->server, streams_closed, f);
}

static int start_parts(struct fleet *f, const struct fleet_conf *c, struct err *e)
{
	const struct stream_conf stream = {.listen = &c->listen,
					   .cert_file = c->cert_file,
					   .key_file = c->key_file,
					   .ca_file = c->ca_file,
					   .keepalive_ms = c->keepalive_ms,
					   .max_connections = c->max_connections};
	const struct stream_events events = {.on_hello = on_hello,
					     .on_answer = on_answer,
					     .on_hit = on_stream_hit,
					     .on_targets_begin = on_targets_begin,
					     .on_target = on_target,
					     .on_want = on_want,
					     .on_gone = on_gone,
					     .arg = f};
	const struct nodes_events nodes = {
		.on_row = on_row, .on_view = on_view, .on_hit = on_remote_hit, .arg = f};
	const struct feed_events feed = {.on_reset = on_reset,
					 .on_change = on_change,
					 .on_commit = on_commit,
					 .on_nodes = on_nodes,
					 .arg = f};

	if (stream_server_start(&f->server, f->loop, &stream, &f->image, &events, e) ||
	    refusals_init(&f->refusals, f->store, &f->image, e))
		return -1;
	f->have_refusals = true;
	if (make_metrics(f, c->metrics, e) ||
	    nodes_table_init(&f->table, f->loop, f->store, f->self, c->node_grace_ms, &nodes, e))
		return -1;
	f->have_table = true;
	if (store_follow(f->store, &feed, e))
		return -1;
	ticket_keeper_init(&f->tickets, f->loop, f->store);
	f->have_tickets = true;
	timer_start(&f->tick, TICK_MS, TICK_MS);
	return 0;
}

int fleet_start(struct fleet **out, struct loop *l, struct store *s, const struct fleet_conf *c,
		struct err *e)
{
	struct fleet *f = calloc(1, sizeof(*f));

	if (!f)
		return err_memory(e, "fleet");
	f->loop = l;
	f->store = s;
	snprintf(f->self, sizeof(f->self), "%s", c->control_plane_id);
	image_init(&f->image);
	members_init(&f->members, c->node_grace_ms);
	health_share_init(&f->health, l, s, f->self);
	barriers_init(&f->barriers, l, &f->members);
	timer_init(&f->tick, l, on_tick);
	if (start_parts(f, c, e)) {
		fleet_close(f, NULL, NULL);
		return -1;
	}
	*out = f;
	return 0;
}

bool fleet_ready(const struct fleet *f)
{
	return f->image.ready;
}

uint64_t fleet_revision(const struct fleet *f)
{
	return f->image.revision;
}

int fleet_wait(struct barrier **out, struct fleet *f, uint64_t revision, uint64_t timeout_ms,
	       void (*done)(const struct barrier_result *r, void *arg), void *arg, struct err *e)
{
	if (barriers_wait(&f->barriers, out, revision, nodes_table_refresh(&f->table), timeout_ms,
			  done, arg, e))
		return -1;
	if (image_refused(&f->image, revision))
		barriers_refuse(&f->barriers, revision);
	return 0;
}

json_t *fleet_missing(struct fleet *f, uint64_t revision)
{
	return members_missing(&f->members, revision, now_ms());
}

void fleet_on_challenge_hit(struct fleet *f,
			    void (*fn)(const char *challenge_id, const char *node_id,
				       uint32_t count, void *arg),
			    void *arg)
{
	f->on_hit = fn;
	f->on_hit_arg = arg;
}

void fleet_on_want(struct fleet *f, void (*fn)(const struct fleet_want *w, void *arg), void *arg)
{
	f->on_want = fn;
	f->on_want_arg = arg;
}

void fleet_answer_want(struct fleet *f, const char *node_id, const struct want_answer *a)
{
	list_for_each(l, &f->server.streams)
	{
		if (strcmp(stream_at(l)->node.id, node_id) == 0)
			stream_answer_want(stream_at(l), a);
	}
}

void fleet_target_health(struct fleet *f, const json_t *targets,
			 void (*done)(json_t *states, void *arg), void *arg)
{
	health_share_read(&f->health, targets, done, arg);
}

void fleet_nodes(struct fleet *f, store_done done, void *arg)
{
	nodes_table_list(&f->table, done, arg);
}

void fleet_log_level(struct fleet *f, enum log_level level, uint64_t seconds)
{
	level_set(&f->level, level, seconds, now_ms());
}

void fleet_log_level_all(struct fleet *f, enum log_level level, uint64_t seconds, store_done done,
			 void *arg)
{
	struct store_result failed = {.fault = STORE_FAILED};
	struct buf notice = BUF_INIT;

	if (log_level() != level)
		fleet_log_level(f, level, seconds);
	if (level_notice(&notice, f->self, level, seconds, &failed.err) < 0)
		done(&failed, arg);
	else
		store_query(f->store, "SELECT pg_notify('cardea_nodes', $1)",
			    (const char *const[]){notice.data}, 1, done, arg);
	buf_deinit(&notice);
}
