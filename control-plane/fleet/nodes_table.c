/* The nodes table.
 *
 *   write:   put -> (at once, or 50 ms after the last) -> one statement -> next, when more came
 *            database away: rows go back, unless newer ones came, and are tried again in a second
 *   read:    refresh -> one query -> rows -> view; asked again meanwhile: one more query after it
 *            failed: tried again with the next heartbeat
 */
#include "control-plane/fleet/nodes_table.h"

#include "common/core/clock.h"
#include "common/core/log.h"

enum { RETRY_MS = 1000, ITEMS_PER_NOTIFY = 32, PURGE_BEATS = 720 };

static void write_now(struct nodes_table *t);

static uint64_t now_ms(void)
{
	return clock_mono_ns() / 1000000;
}

static void release(struct nodes_table *t)
{
	if (--t->open > 0 || !t->closing)
		return;
	json_decref(t->rows);
	json_decref(t->hits);
	if (t->closed)
		t->closed(t->closed_arg);
}

/* --- writing --- */

static bool nothing_to_write(const struct nodes_table *t)
{
	return json_object_size(t->rows) == 0 && json_array_size(t->hits) == 0;
}

static void write_later(struct nodes_table *t)
{
	uint64_t now = now_ms();
	uint64_t due = t->last_write_ms + NODES_WRITE_MS;

	if (t->closing || t->writing_rows || nothing_to_write(t) || timer_active(&t->write_timer))
		return;
	timer_start(&t->write_timer, t->last_write_ms == 0 || due <= now ? 0 : due - now, 0);
}

/* What a failed statement carried, unless newer rows came. */
static void take_back(struct nodes_table *t)
{
	const char *id;
	json_t *row;

	json_object_foreach(t->writing_rows, id, row)
	{
		if (!json_object_get(t->rows, id))
			(void)json_object_set(t->rows, id, row);
	}
	if (json_array_size(t->hits) < NODES_HITS_PENDING_MAX)
		(void)json_array_extend(t->hits, t->writing_hits);
}

static void on_written(const struct store_result *r, void *arg)
{
	struct nodes_table *t = arg;

	if (r->err.kind != ERR_NONE) {
		log_warn("data planes could not be written to the database", log_err(&r->err));
		take_back(t);
	}
	json_decref(t->writing_rows);
	json_decref(t->writing_hits);
	t->writing_rows = NULL;
	t->writing_hits = NULL;
	if (!t->closing && r->err.kind != ERR_NONE)
		timer_start(&t->write_timer, RETRY_MS, 0);
	else
		write_later(t);
	release(t);
}

/* Payloads of a notification hold 8,000 bytes: items go in groups. */
static int payloads_add(json_t *out, const char *self, const char *name, json_t *items)
{
	size_t n = json_array_size(items);

	for (size_t from = 0; from < n; from += ITEMS_PER_NOTIFY) {
		json_t *group = json_array();
		char *text = NULL;
		json_t *whole;

		for (size_t i = from; i < n && i < from + ITEMS_PER_NOTIFY; i++)
			(void)json_array_append(group, json_array_get(items, i));
		whole = json_pack("{s:s, s:o}", "cp", self, name, group);
		text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;
		json_decref(whole);
		if (!text || json_array_append_new(out, json_string(text))) {
			free(text);
			return -1;
		}
		free(text);
	}
	return 0;
}

/* The texts to notify: acks, grouped by epoch (there is one), and hits. NULL: out of memory. */
static json_t *payloads_make(const struct nodes_table *t, json_t *rows, json_t *hits)
{
	json_t *out = json_array();
	json_t *acks = json_array();
	int rc = -1;
	const char *id;
	json_t *row;

	json_object_foreach(rows, id, row)
	{
		(void)json_array_append_new(acks, json_pack("{s:s, s:O, s:O, s:O}", "i", id, "e",
							    json_object_get(row, "epoch"), "r",
							    json_object_get(row, "revision"), "c",
							    json_object_get(row, "connected")));
	}
	if (out && acks && payloads_add(out, t->self, "nodes", acks) == 0)
		rc = payloads_add(out, t->self, "hits", hits);
	json_decref(acks);
	if (rc == 0)
		return out;
	json_decref(out);
	return NULL;
}

static json_t *rows_list(json_t *rows)
{
	json_t *list = json_array();
	const char *id;
	json_t *row;

	json_object_foreach(rows, id, row)(void) json_array_append(list, row);
	if (json_array_size(list) == json_object_size(rows))
		return list;
	json_decref(list);
	return NULL;
}

static void write_now(struct nodes_table *t)
{
	json_t *rows = rows_list(t->rows);
	json_t *payloads = payloads_make(t, t->rows, t->hits);
	json_t *fresh_rows = json_object();
	json_t *fresh_hits = json_array();

	t->last_write_ms = now_ms();
	if (rows && payloads && fresh_rows && fresh_hits) {
		t->writing_rows = t->rows;
		t->writing_hits = t->hits;
		t->rows = fresh_rows;
		t->hits = fresh_hits;
		t->open++;
		store_nodes_write(t->store, t->self, rows, payloads, on_written, t);
	} else {
		json_decref(fresh_rows);
		json_decref(fresh_hits);
		timer_start(&t->write_timer, RETRY_MS, 0);
	}
	json_decref(rows);
	json_decref(payloads);
}

static void on_write_timer(struct timer *timer)
{
	struct nodes_table *t = container_of(timer, struct nodes_table, write_timer);

	if (!t->closing && !t->writing_rows && !nothing_to_write(t))
		write_now(t);
}

void nodes_table_put(struct nodes_table *t, const char *id, json_t *row)
{
	if (!row || json_object_set_new(t->rows, id, row))
		log_error("out of memory: a data plane is not shown as it is", log_str("node", id));
	write_later(t);
}

void nodes_table_hit(struct nodes_table *t, const char *challenge_id, const char *node_id,
		     uint32_t count)
{
	if (json_array_size(t->hits) >= NODES_HITS_PENDING_MAX ||
	    json_array_append_new(t->hits, json_pack("{s:s, s:s, s:I}", "h", challenge_id, "n",
						     node_id, "k", (json_int_t)count)))
		log_warn("challenge hits are not told to the other control planes",
			 log_str("challenge", challenge_id));
	write_later(t);
}

/* --- reading --- */

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* 0 for what is no number or negative; columns of type float come as reals. */
static uint64_t number_of(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);
	double real = json_real_value(v);

	if (json_is_integer(v))
		return json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
	return real >= 1 && real < 1e15 ? (uint64_t)real : 0;
}

static void read_now(struct nodes_table *t);

static void on_read(const struct store_result *r, void *arg)
{
	struct nodes_table *t = arg;
	size_t i;
	json_t *row;

	t->reading = false;
	if (t->closing) {
		release(t);
		return;
	}
	if (r->err.kind != ERR_NONE) {
		log_warn("data planes could not be read from the database", log_err(&r->err));
		release(t);
		return;
	}
	json_array_foreach(r->rows, i, row)
	{
		const struct nodes_row n = {
			.id = text_of(row, "id"),
			.epoch = text_of(row, "epoch"),
			.control_plane = text_of(row, "control_plane"),
			.revision = number_of(row, "revision"),
			.connected = json_is_true(json_object_get(row, "connected")),
			.hostname = text_of(row, "hostname"),
			.age_ms = (int64_t)number_of(row, "age"),
		};
		t->events.on_row(&n, t->events.arg);
	}
	t->view_done = t->view_started;
	t->events.on_view(t->view_done, t->events.arg);
	if (t->view_asked > t->view_started)
		read_now(t);
	release(t);
}

static void read_now(struct nodes_table *t)
{
	t->reading = true;
	t->view_started = t->view_asked;
	t->open++;
	store_nodes_read(t->store, t->self, t->keep_s, on_read, t);
}

uint64_t nodes_table_refresh(struct nodes_table *t)
{
	if (t->closing)
		return t->view_asked;
	if (!t->reading) {
		t->view_asked++;
		read_now(t);
	} else if (t->view_asked == t->view_started) {
		t->view_asked++;
	}
	return t->view_asked;
}

void nodes_table_notified(struct nodes_table *t, const char *payload)
{
	json_t *whole = json_loads(payload, 0, NULL);
	size_t i;
	json_t *item;

	if (!whole || strcmp(text_of(whole, "cp"), t->self) == 0) {
		json_decref(whole);
		return;
	}
	json_array_foreach(json_object_get(whole, "nodes"), i, item)
	{
		const struct nodes_row n = {
			.id = text_of(item, "i"),
			.epoch = text_of(item, "e"),
			.control_plane = text_of(whole, "cp"),
			.revision = number_of(item, "r"),
			.connected = json_is_true(json_object_get(item, "c")),
		};
		t->events.on_row(&n, t->events.arg);
	}
	json_array_foreach(json_object_get(whole, "hits"), i, item)
	{
		uint64_t count = number_of(item, "k");
		t->events.on_hit(text_of(item, "h"), text_of(item, "n"),
				 count > UINT32_MAX ? UINT32_MAX : (uint32_t)count, t->events.arg);
	}
	json_decref(whole);
}

void nodes_table_list(struct nodes_table *t, store_done done, void *arg)
{
	store_nodes_list(t->store, done, arg);
}

/* --- life --- */

static void on_beat_done(const struct store_result *r, void *arg)
{
	(void)r;
	release(arg);
}

static void on_heartbeat(struct timer *timer)
{
	struct nodes_table *t = container_of(timer, struct nodes_table, heartbeat);

	t->open++;
	store_nodes_beat(t->store, t->self, on_beat_done, t);
	if (t->beats++ % PURGE_BEATS == 0) {
		t->open++;
		store_nodes_purge(t->store, on_beat_done, t);
	}
	(void)nodes_table_refresh(t);
}

int nodes_table_init(struct nodes_table *t, struct loop *l, struct store *s, const char *self,
		     uint64_t grace_ms, const struct nodes_events *ev, struct err *e)
{
	memset(t, 0, sizeof(*t));
	t->rows = json_object();
	t->hits = json_array();
	if (!t->rows || !t->hits) {
		json_decref(t->rows);
		json_decref(t->hits);
		return err_memory(e, "data planes");
	}
	t->loop = l;
	t->store = s;
	t->self = self;
	t->events = *ev;
	t->keep_s = grace_ms / 1000 + 30;
	timer_init(&t->write_timer, l, on_write_timer);
	timer_init(&t->heartbeat, l, on_heartbeat);
	timer_start(&t->heartbeat, NODES_HEARTBEAT_MS, NODES_HEARTBEAT_MS);
	t->open = 2;
	(void)nodes_table_refresh(t);
	return 0;
}

static void write_timer_closed(struct timer *timer)
{
	release(container_of(timer, struct nodes_table, write_timer));
}

static void heartbeat_closed(struct timer *timer)
{
	release(container_of(timer, struct nodes_table, heartbeat));
}

void nodes_table_close(struct nodes_table *t, void (*closed)(void *arg), void *arg)
{
	/* One last statement: the nodes that this control plane let go. */
	if (!t->writing_rows && !nothing_to_write(t))
		write_now(t);
	t->closing = true;
	t->closed = closed;
	t->closed_arg = arg;
	timer_close(&t->write_timer, write_timer_closed);
	timer_close(&t->heartbeat, heartbeat_closed);
}
