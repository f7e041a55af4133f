/* The health of targets over all control planes.
 *
 *   write:   change -> timer -> one statement -> timer again, when more came
 *            database away: everything counts as not written, and is tried again in a second
 *   read:    one query -> rows -> merged as this control plane's own would be
 *            without a database: at the end of the turn, out of memory
 */
#include "control-plane/fleet/health_share.h"

#include <stdlib.h>

#include "common/core/log.h"

enum { PURGE_MS = 600 * 1000 };

/* $1 rows, $2 nodes that begin, $3 self. */
static const char sql_write[] =
	"WITH told AS (SELECT (r->>0)::uuid AS node, (r->>1)::uuid AS target, r->>2 AS address,"
	"  (r->>3)::integer AS weight, (r->>4)::smallint AS state"
	"  FROM jsonb_array_elements($1::jsonb) AS r),"
	" void AS (DELETE FROM target_health h WHERE h.control_plane = $3::uuid"
	"  AND h.node IN (SELECT n::uuid FROM jsonb_array_elements_text($2::jsonb) AS n)"
	"  AND NOT EXISTS (SELECT 1 FROM told t WHERE t.node = h.node AND t.target = h.target"
	"   AND t.address = h.address)),"
	" gone AS (DELETE FROM target_health h USING told t WHERE t.state = 4"
	"  AND h.control_plane = $3::uuid AND h.node = t.node AND h.target = t.target"
	"  AND h.address = t.address),"
	" put AS (INSERT INTO target_health AS h"
	"  (control_plane, node, target, address, weight, state)"
	"  SELECT $3::uuid, node, target, address, weight, state FROM told WHERE state < 4"
	"  ON CONFLICT (control_plane, node, target, address) DO UPDATE SET"
	"   weight = excluded.weight, state = excluded.state, told = now()"
	"  WHERE (h.weight, h.state) IS DISTINCT FROM (excluded.weight, excluded.state)"
	"  RETURNING 1)"
	" SELECT set_config('synchronous_commit', 'off', true) AS sync,"
	"  (SELECT count(*) FROM put) AS rows";

/* Alike for everybody: merged here over nodes, the best state counts. $1 ids of targets. */
static const char sql_read[] =
	"SELECT h.target, h.address, max(h.weight)::bigint AS weight,"
	" min(h.state)::bigint AS state"
	" FROM target_health h JOIN nodes n ON n.id = h.node AND n.control_plane = h.control_plane"
	" WHERE h.target IN (SELECT t::uuid FROM jsonb_array_elements_text($1::jsonb) AS t)"
	" AND n.connected AND n.last_seen > now() - interval '15 seconds'"
	" GROUP BY h.target, h.address ORDER BY h.target, h.address";

/* A node's row may come a little later than its targets'. */
static const char sql_purge[] =
	"WITH gone AS (DELETE FROM target_health h WHERE told < now() - interval '1 hour'"
	" AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = h.node"
	"  AND n.control_plane = h.control_plane) RETURNING 1)"
	" SELECT count(*) AS rows FROM gone";

static void release(struct health_share *h)
{
	if (--h->open > 0 || !h->closing)
		return;
	target_health_deinit(&h->targets);
	if (h->closed)
		h->closed(h->closed_arg);
}

/* --- writing --- */

static void write_in(struct health_share *h, uint64_t ms)
{
	if (!h->closing && !h->writing && !timer_active(&h->timer) &&
	    target_health_has_changes(&h->targets))
		timer_start(&h->timer, ms, 0);
}

static void on_written(const struct store_result *r, void *arg)
{
	struct health_share *h = arg;
	bool failed = r->err.kind != ERR_NONE;

	h->writing = false;
	if (failed && !h->closing) {
		log_warn("the health of targets could not be written to the database",
			 log_err(&r->err));
		target_health_untake(&h->targets);
	}
	write_in(h, failed ? HEALTH_SHARE_RETRY_MS : HEALTH_SHARE_MS);
	release(h);
}

static void write_changes(struct health_share *h, const struct target_changes *c)
{
	char *rows = json_dumps(c->rows, JSON_COMPACT);
	char *begun = json_dumps(c->begun, JSON_COMPACT);

	h->writing = true;
	h->open++;
	/* Without memory: null, which is refused. */
	store_query(h->store, sql_write, (const char *const[]){rows, begun, h->self}, 3, on_written,
		    h);
	free(rows);
	free(begun);
}

static void on_timer(struct timer *t)
{
	struct health_share *h = container_of(t, struct health_share, timer);
	struct target_changes c;
	struct err e = ERR_INIT;

	if (h->closing || h->writing || !target_health_has_changes(&h->targets))
		return;
	if (target_health_take(&h->targets, HEALTH_SHARE_ROWS, &c, &e) < 0) {
		log_error("the health of targets is written later", log_err(&e));
		write_in(h, HEALTH_SHARE_RETRY_MS);
		return;
	}
	write_changes(h, &c);
	json_decref(c.rows);
	json_decref(c.begun);
}

static void on_purged(const struct store_result *r, void *arg)
{
	(void)r; /* the next one will */
	release(arg);
}

static void on_purge(struct timer *t)
{
	struct health_share *h = container_of(t, struct health_share, purge);

	h->open++;
	store_query(h->store, sql_purge, NULL, 0, on_purged, h);
}

void health_share_begin(struct health_share *h, const char *node)
{
	struct err e = ERR_INIT;

	if (target_health_begin(&h->targets, node, &e) < 0)
		log_error("what a data plane said of targets is not void", log_err(&e));
	write_in(h, HEALTH_SHARE_MS);
}

void health_share_report(struct health_share *h, const char *node, const struct target_report *r)
{
	struct err e = ERR_INIT;

	if (target_health_report(&h->targets, node, r, &e) < 0)
		log_error("what a data plane says of a target is lost", log_err(&e));
	write_in(h, HEALTH_SHARE_MS);
}

void health_share_forget(struct health_share *h, const char *node)
{
	target_health_forget(&h->targets, node);
}

void health_share_void(struct health_share *h)
{
	target_health_untake(&h->targets);
	write_in(h, HEALTH_SHARE_MS);
}

/* --- reading --- */

struct reading {
	struct health_share *share;
	json_t *targets;
	void (*done)(json_t *states, void *arg);
	void *arg;
	struct deferred later; /* without a database */
};

static void finish(struct reading *q, const struct target_health *from)
{
	struct health_share *h = q->share;
	json_t *states = from ? json_object() : NULL;
	json_t *id;
	size_t i;

	json_array_foreach(q->targets, i, id)
	{
		const char *text = json_string_value(id);
		json_t *state = states ? target_health_json(from, text) : NULL;

		if (state)
			(void)json_object_set_new(states, text, state);
	}
	q->done(states, q->arg);
	json_decref(states);
	json_decref(q->targets);
	free(q);
	release(h);
}

/* One row for all nodes; false: no memory. */
static bool take_row(struct target_health *all, const json_t *row)
{
	const char *target = json_string_value(json_object_get(row, "target"));
	const char *address = json_string_value(json_object_get(row, "address"));
	struct target_report r = {
		.weight = (uint32_t)json_integer_value(json_object_get(row, "weight")),
		.verdict = (enum target_state)json_integer_value(json_object_get(row, "state")),
	};
	struct err e = ERR_INIT;

	if (!target || !address)
		return true;
	snprintf(r.target, sizeof(r.target), "%s", target);
	snprintf(r.address, sizeof(r.address), "%s", address);
	return target_health_report(all, "", &r, &e) == 0;
}

static void on_read(const struct store_result *r, void *arg)
{
	bool good = r->err.kind == ERR_NONE;
	struct target_health all;
	json_t *row;
	size_t i;

	if (!good)
		log_warn("the health of targets could not be read from the database",
			 log_err(&r->err));
	target_health_init(&all, false);
	json_array_foreach(r->rows, i, row) good = good && take_row(&all, row);
	finish(arg, good ? &all : NULL);
	target_health_deinit(&all);
}

static void on_later(struct deferred *d)
{
	struct reading *q = container_of(d, struct reading, later);

	finish(q, &q->share->targets);
}

void health_share_read(struct health_share *h, const json_t *targets,
		       void (*done)(json_t *states, void *arg), void *arg)
{
	struct reading *q = calloc(1, sizeof(*q));
	char *ids;

	if (!q) {
		done(NULL, arg);
		return;
	}
	q->share = h;
	q->targets = json_deep_copy(targets);
	q->done = done;
	q->arg = arg;
	h->open++;
	deferred_init(&q->later, on_later);
	if (store_read_only(h->store)) {
		loop_defer(h->loop, &q->later);
		return;
	}
	ids = json_dumps(targets, JSON_COMPACT);
	store_query(h->store, sql_read, (const char *const[]){ids}, 1, on_read, q);
	free(ids);
}

/* --- life --- */

void health_share_init(struct health_share *h, struct loop *l, struct store *s, const char *self)
{
	memset(h, 0, sizeof(*h));
	h->loop = l;
	h->store = s;
	h->self = self;
	h->open = 2;
	target_health_init(&h->targets, !store_read_only(s));
	timer_init(&h->timer, l, on_timer);
	timer_init(&h->purge, l, on_purge);
	if (!store_read_only(s))
		timer_start(&h->purge, PURGE_MS, PURGE_MS);
}

static void timer_closed(struct timer *t)
{
	release(container_of(t, struct health_share, timer));
}

static void purge_closed(struct timer *t)
{
	release(container_of(t, struct health_share, purge));
}

void health_share_close(struct health_share *h, void (*closed)(void *arg), void *arg)
{
	h->closing = true;
	h->closed = closed;
	h->closed_arg = arg;
	timer_close(&h->timer, timer_closed);
	timer_close(&h->purge, purge_closed);
}
