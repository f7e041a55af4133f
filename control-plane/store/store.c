/* The store over PostgreSQL: opening, reading, plain queries.
 *
 * Happy path: store_open -> migrate -> pool released, on_ready -> calls become batches of the pool.
 * Failure paths:
 * - migration failed or schema too new: on_ready with the error; the daemon exits
 * - a batch failed: its call is answered with the fault; reads whose session was lost run again on
 *   another until their deadline
 * - closing: what waits is answered as unavailable
 */
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/core/log.h"
#include "control-plane/store/note.h"
#include "control-plane/store/store_internal.h"

enum {
	COMPACT_FIRST_MS = 10000,
	COMPACT_EVERY_MS = 60000,
	POLL_MS = 2000,
	LIST_TAGS_MAX = 16,
};

/* One read or plain query (pattern B). */
struct call {
	struct pg_batch batch;
	struct store *store;
	const struct sql *sql; /* NULL: plain */
	bool again;	       /* may run twice */
	json_t *rows;
	uint64_t affected;
	struct err err; /* of reading the result */
	store_done done;
	void *arg;
};

const struct sql *store_sql(const struct store *s, const struct entity *t)
{
	for (size_t i = 0; i < s->sql_count; i++)
		if (s->sql[i].entity == t)
			return &s->sql[i];
	return NULL;
}

void store_result_failure(struct store_result *r, const struct pg_failure *f)
{
	r->err = f->err;
	r->fault = err_is_temporary(&f->err) ? STORE_UNAVAILABLE : STORE_FAILED;
}

void store_result_err(struct store_result *r, const struct err *e)
{
	r->err = *e;
	r->fault = err_is_temporary(e) ? STORE_UNAVAILABLE : STORE_FAILED;
}

/* --- calls --- */

static void call_free(struct call *c)
{
	pg_batch_deinit(&c->batch);
	json_decref(c->rows);
	free(c);
}

static void call_take(struct call *c, const struct pg_result *r)
{
	size_t n = pg_result_rows(r);

	json_decref(c->rows);
	c->affected = pg_result_affected(r);
	if (!c->sql) {
		c->rows = rows_plain(r, &c->err);
		return;
	}
	c->rows = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *row = rows_decode(c->sql, c->store->keyring, r, i, NULL, &c->err);

		if (!row || json_array_append_new(c->rows, row) < 0)
			return;
	}
}

static void on_call_result(struct pg_batch *b, size_t i, const struct pg_result *r)
{
	/* The second is an audit note. */
	if (i == 0)
		call_take(container_of(b, struct call, batch), r);
}

/* Which of a table's rules a plain statement broke: its author knows which statement that was. */
static enum store_fault plain_fault(const struct pg_failure *f)
{
	static const struct {
		const char *state;
		enum store_fault fault;
	} faults[] = {
		{"23505", STORE_UNIQUE}, {"23503", STORE_FOREIGN}, {"CA001", STORE_NOT_FOUND},
		{"CA002", STORE_LEASE},	 {"CA003", STORE_VERSION},
	};

	for (size_t i = 0; i < array_len(faults); i++)
		if (strcmp(faults[i].state, f->state) == 0)
			return faults[i].fault;
	return err_is_temporary(&f->err) ? STORE_UNAVAILABLE : STORE_FAILED;
}

static void on_call_end(struct pg_batch *b, const struct pg_failure *f)
{
	struct call *c = container_of(b, struct call, batch);
	struct store_result r = {.fault = STORE_OK};

	if (f && f->kind == PG_LOST && c->again && !c->store->closing &&
	    clock_mono_ns() < b->deadline) {
		pool_run(c->store->pool, b);
		return;
	}
	if (f) {
		store_result_failure(&r, f);
		if (f->kind == PG_REFUSED)
			r.fault = plain_fault(f);
	} else if (c->err.kind != ERR_NONE) {
		store_result_err(&r, &c->err);
	} else {
		r.rows = c->rows;
		r.affected = c->affected;
	}
	c->done(&r, c->arg);
	call_free(c);
}

/* Runs the call, or answers it with e when it could not be put together. */
static void call_run(struct call *c, int rc, const struct err *e)
{
	if (rc < 0) {
		c->err = *e;
		/* An empty batch: answered by the pool, later. */
		c->batch.count = 0;
	}
	pool_run(c->store->pool, &c->batch);
}

static struct call *call_create(struct store *s, const struct sql *sql, store_done done, void *arg)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c) {
		struct store_result r = {.fault = STORE_FAILED};

		/* Nothing to answer later with: the one exception to the house rule. */
		err_memory(&r.err, "database call");
		done(&r, arg);
		return NULL;
	}
	pg_batch_init(&c->batch);
	c->batch.on_result = on_call_result;
	c->batch.on_end = on_call_end;
	c->store = s;
	c->sql = sql;
	c->again = sql != NULL;
	c->done = done;
	c->arg = arg;
	return c;
}

/* --- reading --- */

void pg_store_get(struct store *s, const struct entity *t, struct str key, store_done done,
		  void *arg)
{
	const struct sql *q = store_sql(s, t);
	const struct buf *sql = uuid_is(key) ? &q->get_id : &q->get_key;
	struct call *c = call_create(s, q, done, arg);
	struct err e = ERR_INIT;
	const char *param;
	int rc = 0;

	if (!c)
		return;
	param = arena_str(&c->batch.arena, key).ptr;
	c->rows = json_array();
	if (!param || !c->rows)
		rc = err_memory(&e, "database call");
	else if (sql->len && strlen(param) == key.len)
		rc = pg_batch_add(&c->batch, sql->data, &param, 1, &e);
	call_run(c, rc, &e);
}

static int find_make(struct buf *sql, const struct sql *q, const struct store_key *k, struct err *e)
{
	const struct field *f = entity_field(q->entity, str_from(k->field));
	bool caseless = f && (f->flags & FIELD_CASELESS);

	if (!f)
		return err_set(e, ERR_INTERNAL, "%s have no field %s", q->entity->name, k->field);
	if (buf_addf(sql, e, "SELECT %s FROM %s t WHERE %st.%s%s = %s$1::text%s", q->columns.data,
		     q->entity->name, caseless ? "lower(" : "", f->name, caseless ? ")" : "",
		     caseless ? "lower(" : "", caseless ? ")" : "") < 0)
		return -1;
	return k->foreign ? buf_addf(sql, e, " AND t.%s = $2::uuid", k->foreign) : 0;
}

void pg_store_find(struct store *s, const struct entity *t, const struct store_key *k,
		   store_done done, void *arg)
{
	const struct sql *q = store_sql(s, t);
	struct call *c = call_create(s, q, done, arg);
	struct buf sql = BUF_INIT;
	struct err e = ERR_INIT;
	const char *params[2];
	int rc;

	if (!c)
		return;
	params[0] = arena_str(&c->batch.arena, k->value).ptr;
	params[1] = arena_str(&c->batch.arena, k->foreign ? k->foreign_id : STR("")).ptr;
	c->rows = json_array();
	rc = params[0] && params[1] && c->rows ? find_make(&sql, q, k, &e)
					       : err_memory(&e, "database call");
	/* A key with a NUL byte names nothing. */
	if (rc == 0 && strlen(params[0]) == k->value.len)
		rc = pg_batch_add(&c->batch, sql.data, params, k->foreign ? 2 : 1, &e);
	buf_deinit(&sql);
	call_run(c, rc, &e);
}

/* SELECT ... WHERE t.id > $1 AND t.fk = $2 AND t.tags @> $3 ORDER BY t.id LIMIT n */
struct list {
	struct buf sql;
	const char *params[5];
	size_t n;
};

static int list_param(struct list *l, struct arena *a, struct str value, const char *condition,
		      struct err *e)
{
	const char *glue = l->n ? " AND" : " WHERE";

	l->params[l->n] = arena_str(a, value).ptr;
	if (!l->params[l->n])
		return err_memory(e, "database call");
	l->n++;
	if (buf_addf(&l->sql, e, "%s %s", glue, condition) < 0)
		return -1;
	return buf_addf(&l->sql, e, "$%zu", l->n);
}

static int list_tags(struct list *l, struct arena *a, const struct store_page *p, struct err *e)
{
	json_t *tags = json_array();
	char *text = NULL;
	int rc = -1;

	for (size_t i = 0; i < p->tag_count; i++)
		json_array_append_new(tags, json_stringn(p->tags[i].ptr, p->tags[i].len));
	text = json_dumps(tags, JSON_COMPACT);
	if (!text || json_array_size(tags) != p->tag_count)
		err_set(e, ERR_INVALID, "tags are not UTF-8");
	else
		rc = list_param(l, a, str_from(text),
				p->tags_any ? "t.tags && ARRAY(SELECT jsonb_array_elements_text("
					    : "t.tags @> ARRAY(SELECT jsonb_array_elements_text(",
				e);
	if (rc == 0)
		rc = buf_addf(&l->sql, e, "::jsonb))");
	free(text);
	json_decref(tags);
	return rc;
}

/* What comes after the row that the page before ended with. */
static int list_after(struct list *l, struct arena *a, const struct sql *q,
		      const struct store_page *p, struct err *e)
{
	if (!p->after.ptr)
		return 0;
	if (!uuid_is(p->after))
		return err_set(e, ERR_INVALID, "not an id");
	if (!q->entity->newest_first)
		return list_param(l, a, p->after, "t.id > ", e);
	if (list_param(l, a, p->after_time, "(t.created_at, t.id) < (to_timestamp(", e) < 0)
		return -1;
	l->params[l->n] = arena_str(a, p->after).ptr;
	if (!l->params[l->n])
		return err_memory(e, "database call");
	l->n++;
	return buf_addf(&l->sql, e, "::float8), $%zu::uuid)", l->n);
}

static int list_make(struct list *l, struct arena *a, const struct sql *q,
		     const struct store_page *p, struct err *e)
{
	char column[96];
	const struct field *f = NULL;

	if (p->foreign)
		f = entity_field(q->entity, str_from(p->foreign));
	if (p->foreign && (!f || !uuid_is(p->foreign_id)))
		return err_set(e, ERR_INTERNAL, "no such reference");
	if (buf_addf(&l->sql, e, "SELECT %s FROM %s t", q->columns.data, q->entity->name) < 0)
		return -1;
	if (list_after(l, a, q, p, e) < 0)
		return -1;
	snprintf(column, sizeof(column), "t.%s = ", f ? f->name : "");
	if (f && list_param(l, a, p->foreign_id, column, e) < 0)
		return -1;
	if (p->tag_count && q->entity->has_tags && list_tags(l, a, p, e) < 0)
		return -1;
	return buf_addf(&l->sql, e, " ORDER BY %s LIMIT %u",
			q->entity->newest_first ? "t.created_at DESC, t.id DESC" : "t.id",
			p->size + 1);
}

void pg_store_list(struct store *s, const struct entity *t, const struct store_page *p,
		   store_done done, void *arg)
{
	const struct sql *q = store_sql(s, t);
	struct call *c = call_create(s, q, done, arg);
	struct list l = {.sql = BUF_INIT};
	struct err e = ERR_INIT;
	int rc;

	if (!c)
		return;
	rc = list_make(&l, &c->batch.arena, q, p, &e);
	if (rc == 0)
		rc = pg_batch_add(&c->batch, l.sql.data, l.params, l.n, &e);
	buf_deinit(&l.sql);
	call_run(c, rc, &e);
}

static int add_note(struct pg_batch *b, const struct store_note *note, struct err *e)
{
	const char *param = note_encode(note, &b->arena, e);

	return param ? pg_batch_add(b, "SELECT cardea_note($1::jsonb, NULL)", &param, 1, e) : -1;
}

void pg_store_query(struct store *s, const char *sql, const char *const *params, size_t n,
		    const struct store_note *note, store_done done, void *arg)
{
	struct call *c = call_create(s, NULL, done, arg);
	struct err e = ERR_INIT;
	int rc;

	if (!c)
		return;
	rc = pg_batch_add(&c->batch, sql, params, n, &e);
	if (rc == 0 && note)
		rc = add_note(&c->batch, note, &e);
	call_run(c, rc, &e);
}

/* The deferred trigger on changes gives it its revision. */
static const char refuse_sql[] =
	"UPDATE changes c SET refused = c.revision, refusal = r.refusal, revision = -txid_current()"
	" FROM jsonb_to_recordset($1::jsonb) AS r(kind text, id uuid, revision bigint, refusal "
	"jsonb)"
	" WHERE c.kind = r.kind AND c.id = r.id AND c.revision <= r.revision AND c.refused IS NULL";

void pg_store_refuse(struct store *s, const json_t *refusals, store_done done, void *arg)
{
	char *text = json_dumps(refusals, JSON_COMPACT);

	/* Without memory: null, which names nothing. */
	pg_store_query(s, refuse_sql, (const char *const[]){text}, 1, NULL, done, arg);
	free(text);
}

int pg_store_seal(struct store *s, struct str context, struct str plain, struct buf *out,
		  struct err *e)
{
	struct buf sealed = BUF_INIT;
	int rc = -1;

	if (seal(s->keyring, context, plain, &sealed, e) == 0 &&
	    buf_add_str(out, STR("\\x"), e) == 0)
		rc = hex_encode(out, buf_str(&sealed), e);
	buf_deinit(&sealed);
	return rc;
}

int pg_store_unseal(struct store *s, struct str context, struct str hex, struct buf *out,
		    struct err *e)
{
	struct buf sealed = BUF_INIT;
	int rc = -1;

	if (!str_starts(hex, STR("\\x")))
		return err_set(e, ERR_INVALID, "a sealed secret is not in hex form");
	if (hex_decode(&sealed, str_sub(hex, 2, hex.len), e) == 0)
		rc = unseal(s->keyring, context, buf_str(&sealed), out, e);
	buf_deinit(&sealed);
	return rc;
}

bool pg_store_reachable(const struct store *s)
{
	return pool_reachable(s->pool);
}

/* --- compaction --- */

static void on_compacted(const struct store_result *r, void *arg)
{
	struct store *s = arg;
	const json_t *more = json_object_get(json_array_get(r->rows, 0), "more");

	s->compacting = false;
	if (r->fault != STORE_OK)
		log_warn("compacting the change feed failed", log_err(&r->err));
	if (!s->closing)
		timer_start(&s->compact, json_is_true(more) ? 0 : COMPACT_EVERY_MS, 0);
}

static void on_compact(struct timer *t)
{
	struct store *s = container_of(t, struct store, compact);

	if (s->compacting)
		return;
	s->compacting = true;
	pg_store_query(s, "SELECT cardea_compact() AS more", NULL, 0, NULL, on_compacted, s);
}

/* --- life --- */

static void store_free(struct store *s)
{
	for (size_t i = 0; i < s->sql_count; i++)
		sql_deinit(&s->sql[i]);
	free(s->conninfo);
	free(s);
}

static void on_part_closed(void *arg)
{
	struct store *s = arg;

	if (--s->closing_left > 0)
		return;
	if (s->closed)
		s->closed(s->closed_arg);
	store_free(s);
}

static void on_compact_closed(struct timer *t)
{
	on_part_closed(container_of(t, struct store, compact));
}

static void on_migrated(const struct err *e, void *arg)
{
	struct store *s = arg;

	if (!e) {
		s->ready = true;
		pool_release(s->pool);
		timer_start(&s->compact, COMPACT_FIRST_MS, 0);
		if (s->feed)
			feed_release(s->feed);
	}
	s->closing_left++;
	migrate_close(s->migrate, on_part_closed, s);
	s->migrate = NULL;
	s->on_ready(e, s->on_ready_arg);
}

static int make_sql_of(struct store *s, bool pushed, struct err *e)
{
	const struct entity *t;

	for (size_t i = 0; (t = entity_at(i)); i++) {
		if (t->pushed != pushed)
			continue;
		if (s->sql_count == SQL_ENTITIES_MAX)
			return err_set(e, ERR_INTERNAL, "more than %d entities", SQL_ENTITIES_MAX);
		if (sql_init(&s->sql[s->sql_count], t, e) < 0)
			return -1;
		s->sql_count++;
	}
	return 0;
}

/* Those of the feed first. */
static int make_sql(struct store *s, struct err *e)
{
	if (make_sql_of(s, true, e) < 0)
		return -1;
	s->pushed_count = s->sql_count;
	return make_sql_of(s, false, e);
}

int store_open(struct store **out, struct loop *l, const struct store_conf *c,
	       void (*on_ready)(const struct err *e, void *arg), void *arg, struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));
	struct pool_conf pc = {c->conninfo, c->pool_size, c->query_timeout_ms};

	if (!s)
		return err_memory(e, "store");
	s->ops = &pg_store_ops;
	s->loop = l;
	s->timeout_ms = c->query_timeout_ms;
	s->keyring = c->keyring;
	s->on_ready = on_ready;
	s->on_ready_arg = arg;
	s->closing_left = 1; /* until pg_store_close */
	s->conninfo = strdup(c->conninfo);
	if (!s->conninfo)
		err_memory(e, "store");
	if (!s->conninfo || make_sql(s, e) < 0 || pool_create(&s->pool, l, &pc, e) < 0) {
		store_free(s);
		return -1;
	}
	timer_init(&s->compact, l, on_compact);
	if (migrate_start(&s->migrate, l, c->conninfo, on_migrated, s, e) < 0) {
		pg_store_close(s, NULL, NULL);
		return -1;
	}
	*out = s;
	return 0;
}

int pg_store_follow(struct store *s, const struct feed_events *ev, struct err *e)
{
	struct feed_conf c = {s->conninfo, s->timeout_ms,   s->keyring,
			      s->sql,	   s->pushed_count, POLL_MS};

	if (s->feed)
		return err_set(e, ERR_INTERNAL, "the store has a follower already");
	if (feed_create(&s->feed, s->loop, &c, ev, e) < 0)
		return -1;
	if (s->ready)
		feed_release(s->feed);
	return 0;
}

uint64_t pg_store_followed_ns(const struct store *s)
{
	return s->feed ? feed_seen_ns(s->feed) : 0;
}

void pg_store_unfollow(struct store *s)
{
	if (!s->feed)
		return;
	s->closing_left++;
	feed_close(s->feed, on_part_closed, s);
	s->feed = NULL;
}

void pg_store_close(struct store *s, void (*closed)(void *arg), void *arg)
{
	s->closing = true;
	s->closed = closed;
	s->closed_arg = arg;
	s->closing_left += 2; /* pool and timer */
	if (s->migrate) {
		s->closing_left++;
		migrate_close(s->migrate, on_part_closed, s);
		s->migrate = NULL;
	}
	pg_store_unfollow(s);
	timer_close(&s->compact, on_compact_closed);
	pool_close(s->pool, on_part_closed, s);
	on_part_closed(s);
}
