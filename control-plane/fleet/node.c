/* One data plane on its stream. */
#include "control-plane/fleet/node.h"

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/core/sm.h"

static const struct sm_state states[NODE_STATES] = {
	[NODE_NEW] = {"new", SM_TO(NODE_WAITING) | SM_TO(NODE_SNAPSHOT) | SM_TO(NODE_DELTA) |
				     SM_TO(NODE_GONE)},
	[NODE_WAITING] = {"waiting", SM_TO(NODE_WAITING) | SM_TO(NODE_SNAPSHOT) |
					     SM_TO(NODE_DELTA) | SM_TO(NODE_GONE)},
	[NODE_SNAPSHOT] = {"snapshot", SM_TO(NODE_CURRENT) | SM_TO(NODE_REFUSED) |
					       SM_TO(NODE_WAITING) | SM_TO(NODE_GONE)},
	[NODE_DELTA] = {"delta", SM_TO(NODE_CURRENT) | SM_TO(NODE_REFUSED) | SM_TO(NODE_WAITING) |
					 SM_TO(NODE_GONE)},
	[NODE_CURRENT] = {"current", SM_TO(NODE_DELTA) | SM_TO(NODE_REFUSED) | SM_TO(NODE_WAITING) |
					     SM_TO(NODE_GONE)},
	[NODE_REFUSED] = {"refused", SM_TO(NODE_REFUSED) | SM_TO(NODE_WAITING) |
					     SM_TO(NODE_SNAPSHOT) | SM_TO(NODE_DELTA) |
					     SM_TO(NODE_GONE)},
	[NODE_GONE] = {"gone", 0},
};
static const struct sm machine = {"node", states, NODE_STATES};

static void node_move(struct node *n, enum node_state to)
{
	n->state = (enum node_state)sm_move(&machine, n->state, to, n->id);
}

const char *node_state_name(enum node_state s)
{
	return sm_name(&machine, s);
}

void node_init(struct node *n)
{
	memset(n, 0, sizeof(*n));
	image_cursor_init(&n->cursor);
}

void node_deinit(struct node *n)
{
	image_cursor_stop(&n->cursor);
	json_decref(n->labels);
	n->labels = NULL;
}

static void begin_snapshot(struct node *n, struct image *m)
{
	n->since = 0;
	n->begin_sent = false;
	image_cursor_first(m, &n->cursor);
	node_move(n, NODE_SNAPSHOT);
}

static void begin_delta(struct node *n, struct image *m)
{
	n->since = n->acked;
	image_cursor_after(m, &n->cursor, n->acked);
	node_move(n, NODE_DELTA);
}

/* A node that holds more than this control plane has read: the others may just be faster. When that
 * does not pass although the database was asked since, it lost writes (FL-07). true: wait. */
static bool wait_ahead(struct node *n, const struct image *m, uint64_t now_ms)
{
	if (n->ahead_until == 0)
		n->ahead_until = now_ms + NODE_AHEAD_MS;
	if (now_ms < n->ahead_until || m->seen_ms < n->ahead_until)
		return true;
	log_error("data plane is ahead of the database and gets an older state",
		  log_str("node", n->id), log_str("hostname", n->hostname),
		  log_u64("held", n->acked), log_u64("revision", m->revision));
	return false;
}

/* Decides how the node is brought to the image's state, from what it acked. */
static void node_begin(struct node *n, struct image *m, uint64_t now_ms)
{
	if (!m->ready) {
		node_move(n, NODE_WAITING);
		return;
	}
	if (n->state == NODE_NEW || n->state == NODE_WAITING)
		n->known = n->known || strcmp(n->held, m->epoch) == 0;
	if (!n->known)
		n->acked = 0;
	if (n->known && n->acked > m->revision) {
		if (wait_ahead(n, m, now_ms)) {
			node_move(n, NODE_WAITING);
			return;
		}
		n->known = false;
		n->acked = 0;
		n->held[0] = '\0';
	}
	n->ahead_until = 0;
	if (n->incomplete || !n->known || n->acked < m->floor)
		begin_snapshot(n, m);
	else
		begin_delta(n, m);
}

int node_hello(struct node *n, struct image *m, const struct node_message *hello, uint64_t now_ms,
	       struct err *e)
{
	if (n->state != NODE_NEW)
		return err_set(e, ERR_INVALID, "hello came twice");
	snprintf(n->id, sizeof(n->id), "%s", hello->node_id);
	snprintf(n->hostname, sizeof(n->hostname), "%s", hello->hostname);
	snprintf(n->version, sizeof(n->version), "%s", hello->version);
	snprintf(n->held, sizeof(n->held), "%s", hello->epoch);
	n->labels = json_incref(hello->labels);
	n->acked = hello->epoch[0] ? hello->revision : 0;
	node_begin(n, m, now_ms);
	return 0;
}

int node_ack(struct node *n, uint64_t revision, struct err *e)
{
	if (n->state == NODE_NEW)
		return err_set(e, ERR_INVALID, "ack before hello");
	if (revision > n->committed)
		return err_set(e, ERR_INVALID, "ack of revision %llu, which was not committed",
			       (unsigned long long)revision);
	n->known = true;
	if (revision > n->acked)
		n->acked = revision;
	if (n->acked >= n->nack.revision)
		n->nack.revision = 0;
	return 0;
}

int node_nack(struct node *n, struct image *m, const struct node_message *nack, uint64_t now_ms,
	      struct err *e)
{
	if (n->state == NODE_NEW)
		return err_set(e, ERR_INVALID, "nack before hello");
	if (nack->revision > n->committed)
		return err_set(e, ERR_INVALID, "nack of revision %llu, which was not committed",
			       (unsigned long long)nack->revision);
	n->nack.revision = nack->revision;
	n->nack.at = clock_wall_s();
	snprintf(n->nack.kind, sizeof(n->nack.kind), "%s", nack->entity_kind);
	snprintf(n->nack.id, sizeof(n->nack.id), "%s", nack->entity_id);
	snprintf(n->nack.reason, sizeof(n->nack.reason), "%s", nack->reason);
	if (n->state == NODE_WAITING)
		return 0;
	image_cursor_stop(&n->cursor);
	node_move(n, NODE_REFUSED);
	if (m->revision > nack->revision)
		node_begin(n, m, now_ms);
	return 0;
}

void node_image_reset(struct node *n, bool other_epoch)
{
	image_cursor_stop(&n->cursor);
	if (other_epoch) {
		n->known = false;
		n->acked = 0;
	}
	if (n->state != NODE_NEW && n->state != NODE_GONE)
		node_move(n, NODE_WAITING);
}

void node_image_commit(struct node *n, struct image *m, uint64_t now_ms)
{
	switch (n->state) {
	case NODE_WAITING:
		node_begin(n, m, now_ms);
		break;
	case NODE_REFUSED:
		if (m->revision > n->nack.revision)
			node_begin(n, m, now_ms);
		break;
	case NODE_CURRENT:
		if (m->revision <= n->committed)
			break;
		n->since = n->committed;
		node_move(n, NODE_DELTA);
		break;
	default:
		break;
	}
}

bool node_should_leave(const struct node *n, uint64_t now_ms)
{
	return n->state == NODE_WAITING && n->ahead_until != 0 &&
	       now_ms >= n->ahead_until + NODE_AHEAD_MS;
}

uint64_t node_acked(const struct node *n)
{
	return n->known ? n->acked : 0;
}

bool node_wants(const struct node *n)
{
	return n->state == NODE_SNAPSHOT || n->state == NODE_DELTA;
}

static int send_begin(struct node *n, const struct image *m, const struct node_sink *sink,
		      bool *more, struct err *e)
{
	struct buf b = BUF_INIT;
	int rc = encode_snapshot_begin(&b, m->epoch, m->revision, m->live, e);

	if (rc == 0) {
		n->begin_sent = true;
		n->incomplete = true;
		n->began = m->revision;
		*more = sink->write(buf_str(&b), sink->arg);
	}
	buf_deinit(&b);
	return rc;
}

static int send_commit(struct node *n, const struct image *m, const struct node_sink *sink,
		       struct err *e)
{
	struct buf b = BUF_INIT;
	int rc = encode_commit(&b, m->epoch, m->revision, n->since, e);

	if (rc == 0) {
		n->committed = m->revision;
		n->incomplete = false;
		node_move(n, NODE_CURRENT);
		(void)sink->write(buf_str(&b), sink->arg);
	}
	buf_deinit(&b);
	return rc;
}

/* What it did not get yet may have held removals that are forgotten now. */
static bool floor_passed(const struct node *n, const struct image *m)
{
	return (n->state == NODE_SNAPSHOT ? n->began : n->since) < m->floor;
}

int node_pump(struct node *n, struct image *m, const struct node_sink *sink, size_t budget,
	      enum node_pump *result, struct err *e)
{
	const struct image_item *it = NULL;
	bool more = true;
	size_t sent = 0;

	if (!node_wants(n)) {
		*result = NODE_PUMP_DONE;
		return 0;
	}
	if (n->state == NODE_SNAPSHOT && !n->begin_sent && send_begin(n, m, sink, &more, e))
		return -1;
	while (more && sent < budget && (it = image_cursor_next(m, &n->cursor))) {
		/* An old removal means nothing to a node that drops everything. */
		bool skip = n->state == NODE_SNAPSHOT && it->removed && it->revision <= n->began;
		sent += skip ? 64 : encoded_bytes(it->bytes).len;
		if (!skip)
			more = sink->write(encoded_bytes(it->bytes), sink->arg);
	}
	if (!more || sent >= budget) {
		*result = more ? NODE_PUMP_MORE : NODE_PUMP_FULL;
		return 0;
	}
	/* Changes of an unfinished batch may have gone out; their commit follows with it. Nothing
	 * is committed over a suspect. */
	*result = NODE_PUMP_DONE;
	if (m->open || !image_cursor_at_end(m, &n->cursor))
		return 0;
	if (!floor_passed(n, m))
		return send_commit(n, m, sink, e);
	node_move(n, NODE_WAITING);
	begin_snapshot(n, m);
	*result = NODE_PUMP_MORE;
	return 0;
}

void node_leave(struct node *n)
{
	image_cursor_stop(&n->cursor);
	if (n->state != NODE_GONE)
		node_move(n, NODE_GONE);
}
