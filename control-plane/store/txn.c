/* One transaction, one revision.
 *
 * Happy path: statements are gathered, txn_commit appends cardea_take_revision and runs all as one
 * batch; its end is the answer.
 * Failure paths:
 * - a statement refused: mapped to the fault of its row; deadlocks run again
 * - answer lost: cardea_settle on another session says what became of the operation, until the
 *   deadline; then the answer is unavailable, and names the operation
 */
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/core/log.h"
#include "control-plane/store/bulk_internal.h"
#include "control-plane/store/note.h"
#include "control-plane/store/store_internal.h"

enum { RETRIES_MAX = 5 };

/* What a failure of this statement is about. */
struct about {
	const struct entity *entity; /* NULL: plain SQL */
	json_t *row;		     /* id, unique and foreign fields; no secrets */
	enum store_fault expected;   /* of cardea_expect in plain SQL */
	bool many;		     /* its rows count as affected */
};

struct txn {
	struct pg_batch batch;
	struct pg_batch settle;
	struct store *store;
	char operation[UUID_TEXT_SIZE];
	struct about *about;
	size_t about_cap;
	const char *note;   /* in the batch's arena; NULL: none */
	struct bulk *bulks; /* owned: statements point into them */
	struct err err;	    /* the first while statements were added */
	uint64_t revision;
	uint64_t affected;
	bool settled;	/* the settle batch answered */
	bool committed; /* ... that it was committed */
	unsigned retries;
	store_done done;
	void *arg;
};

static void on_batch_result(struct pg_batch *b, size_t i, const struct pg_result *r);
static void on_batch_end(struct pg_batch *b, const struct pg_failure *f);

struct txn *txn_create(struct store *s, const char *operation)
{
	struct txn *t = store_read_only(s) ? NULL : calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	pg_batch_init(&t->batch);
	pg_batch_init(&t->settle);
	t->store = s;
	if (operation && uuid_is(str_from(operation)))
		snprintf(t->operation, sizeof(t->operation), "%s", operation);
	else if (operation)
		err_set(&t->err, ERR_INVALID, "operation id: expected a valid UUID");
	else if (uuid_make(t->operation, &t->err) < 0)
		err_prefix(&t->err, "operation id");
	return t;
}

void txn_free(struct txn *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->about_cap; i++)
		json_decref(t->about[i].row);
	free(t->about);
	while (t->bulks) {
		struct bulk *b = t->bulks;

		t->bulks = b->next;
		bulk_free(b);
	}
	pg_batch_deinit(&t->batch);
	pg_batch_deinit(&t->settle);
	free(t);
}

/* --- statements --- */

/* Takes over about.row. */
static int note(struct txn *t, struct about about)
{
	size_t i = t->batch.count;

	if (i >= t->about_cap) {
		size_t cap = t->about_cap ? t->about_cap * 2 : 8;
		struct about *bigger = realloc(t->about, cap * sizeof(*bigger));

		if (!bigger) {
			json_decref(about.row);
			return err_memory(&t->err, "transaction");
		}
		memset(bigger + t->about_cap, 0, (cap - t->about_cap) * sizeof(*bigger));
		t->about = bigger;
		t->about_cap = cap;
	}
	t->about[i] = about;
	return 0;
}

static int add(struct txn *t, const char *sql, const char *const *params, size_t n,
	       struct about about)
{
	if (note(t, about) < 0)
		return -1;
	return pg_batch_add(&t->batch, sql, params, n, &t->err);
}

static bool in_composite(const struct entity *e, const struct field *f)
{
	for (const char *const *name = e->composite; name && *name; name++)
		if (strcmp(*name, f->name) == 0)
			return true;
	return false;
}

/* The fields of a row that a constraint may name. */
static json_t *names_of(const struct entity *e, const json_t *row)
{
	json_t *out = json_object();
	const struct field *f;

	for (size_t i = 0; (f = entity_field_at(e, i)); i++)
		if ((f->flags & FIELD_UNIQUE) || f->type == FIELD_FOREIGN || in_composite(e, f))
			json_object_set_new(out, f->name,
					    json_deep_copy(json_object_get(row, f->name)));
	return out;
}

static void add_row(struct txn *t, const struct entity *e, const json_t *row, const char *sql,
		    const char *last)
{
	const struct sql *q = store_sql(t->store, e);
	const char *params[SQL_FIELDS_MAX + 1];
	size_t n = q->write_count;

	if (t->err.kind != ERR_NONE)
		return;
	if (rows_encode(q, t->store->keyring, row, &t->batch.arena, params, &t->err) < 0)
		return;
	if (last)
		params[n++] = last;
	(void)add(t, sql, params, n, (struct about){e, names_of(e, row), STORE_OK, false});
}

void txn_insert(struct txn *t, const struct entity *e, const json_t *row)
{
	add_row(t, e, row, store_sql(t->store, e)->insert.data, NULL);
}

void txn_update(struct txn *t, const struct entity *e, const json_t *row, int64_t version)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)version);
	add_row(t, e, row, store_sql(t->store, e)->update.data, text);
}

void txn_upsert(struct txn *t, const struct entity *e, const json_t *row)
{
	add_row(t, e, row, store_sql(t->store, e)->upsert.data, NULL);
}

void txn_upsert_many(struct txn *t, struct bulk *b)
{
	const char *params[SQL_FIELDS_MAX];

	b->next = t->bulks;
	t->bulks = b;
	if (t->err.kind != ERR_NONE || b->rows == 0 || bulk_finish(b, &t->err) < 0)
		return;
	for (size_t i = 0; i < b->sql->write_count; i++)
		params[i] = b->columns[i].data;
	if (note(t, (struct about){b->sql->entity, NULL, STORE_OK, true}) == 0)
		(void)!pg_batch_add_kept(&t->batch, b->sql->upsert_many.data, params,
					 b->sql->write_count, &t->err);
}

void txn_allow(struct txn *t, uint64_t ms)
{
	char text[24];
	const char *param = text;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)ms);
	t->batch.deadline = clock_mono_ns() + ms * 1000000;
	if (t->err.kind == ERR_NONE)
		(void)add(t, "SELECT set_config('statement_timeout', $1, true)", &param, 1,
			  (struct about){NULL, NULL, STORE_OK, false});
}

void txn_delete(struct txn *t, const struct entity *e, struct str id, bool must_exist)
{
	const struct sql *q = store_sql(t->store, e);
	const char *param;
	json_t *row;

	if (t->err.kind != ERR_NONE)
		return;
	param = arena_str(&t->batch.arena, id).ptr;
	row = json_pack("{s:s%}", "id", id.ptr, id.len);
	if (!param || !row) {
		json_decref(row);
		err_memory(&t->err, "transaction");
		return;
	}
	(void)add(t, must_exist ? q->delete_must.data : q->delete_any.data, &param, 1,
		  (struct about){e, row, STORE_OK, false});
}

void txn_note(struct txn *t, const struct store_note *n)
{
	if (t->err.kind == ERR_NONE)
		t->note = note_encode(n, &t->batch.arena, &t->err);
}

void txn_note_also(struct txn *t, const struct store_note *n)
{
	struct str before = str_from(t->note);
	bool list = str_starts(before, STR("["));
	struct buf all = BUF_INIT;

	txn_note(t, n);
	if (before.len == 0 || t->err.kind != ERR_NONE)
		return;
	/* "[a,b]" and "c", or "a" and "b" */
	if (buf_addf(&all, &t->err, "%s%.*s,%s]", list ? "" : "[", (int)(before.len - list),
		     before.ptr, t->note) == 0)
		t->note = arena_str(&t->batch.arena, buf_str(&all)).ptr;
	if (!t->note)
		err_memory(&t->err, "audit notes");
	buf_deinit(&all);
}

static bool contains_word(const char *sql, const char *word)
{
	return strcasestr(sql, word) != NULL;
}

/* sql wrapped so that too few rows end the transaction. A statement that changes rows without
 * returning any is made to. */
static int expect_rows(struct buf *out, const char *sql, uint64_t min_rows, enum store_fault fault,
		       struct err *e)
{
	bool returns = contains_word(sql, "returning") || strncasecmp(sql, "select", 6) == 0;

	return buf_addf(out, e,
			"WITH expected AS (%s%s) SELECT CASE WHEN count(*) < %llu THEN "
			"cardea_expect(false, '%s', 'fewer rows than expected') END FROM expected",
			sql, returns ? "" : " RETURNING 1", (unsigned long long)min_rows,
			fault == STORE_LEASE ? "CA002" : "CA001");
}

void txn_exec(struct txn *t, const char *sql, const char *const *params, size_t n,
	      uint64_t min_rows, enum store_fault fault)
{
	struct buf wrapped = BUF_INIT;
	int rc = 0;

	if (t->err.kind != ERR_NONE)
		return;
	if (min_rows)
		rc = expect_rows(&wrapped, sql, min_rows, fault, &t->err);
	if (rc == 0)
		(void)add(t, min_rows ? wrapped.data : sql, params, n,
			  (struct about){NULL, NULL, fault, false});
	buf_deinit(&wrapped);
}

/* --- faults --- */

/* "snis_name_key" of table "snis": the field "name". */
static const struct field *constraint_field(const struct entity *e, const char *constraint,
					    const char *suffix)
{
	struct str rest = str_from(constraint);
	struct str table = str_from(e->name);

	if (!str_starts(rest, table) || !str_ends(rest, str_from(suffix)) ||
	    rest.len <= table.len + 1 + strlen(suffix))
		return NULL;
	return entity_field(e, str_sub(rest, table.len + 1, rest.len - strlen(suffix)));
}

static json_t *key_of(const struct about *a, const char *field)
{
	return json_pack("{s:O?}", field, json_object_get(a->row, field));
}

/* All fields that are unique together. */
static json_t *composite_key(const struct about *a)
{
	json_t *key = json_object();

	for (const char *const *name = a->entity->composite; *name; name++) {
		json_t *value = json_object_get(a->row, *name);

		json_object_set(key, *name, value ? value : json_null());
	}
	return key;
}

static void fault_unique(struct store_result *r, const struct about *a, const struct pg_failure *f)
{
	const struct field *field = NULL;

	r->fault = STORE_UNIQUE;
	if (!a->entity)
		return;
	if (str_ends(str_from(f->constraint), STR("_pkey"))) {
		r->fault = STORE_PRIMARY_KEY;
		r->key = key_of(a, "id");
		return;
	}
	field = constraint_field(a->entity, f->constraint, "_key");
	if (a->entity->composite && str_ends(str_from(f->constraint), STR("_composite_key")))
		r->key = composite_key(a);
	else if (field)
		r->key = key_of(a, field->name);
}

/* A reference to what is not there, or a deletion of what another table still refers to. */
static void fault_foreign(struct store_result *r, const struct about *a, const struct pg_failure *f)
{
	const struct entity *referrer = entity_find(str_from(f->table));
	const struct field *field = NULL;

	if (a->entity && strcmp(f->table, a->entity->name) != 0) {
		r->fault = STORE_REFERENCED;
		r->key = key_of(a, "id");
		r->referrer = referrer ? referrer->name : NULL;
		return;
	}
	r->fault = STORE_FOREIGN;
	if (a->entity)
		field = constraint_field(a->entity, f->constraint, "_fkey");
	if (field)
		r->key = key_of(a, field->name);
}

static void fault_gone(struct store_result *r, const struct about *a, const struct pg_failure *f)
{
	(void)f;
	r->fault = a->entity || a->expected == STORE_OK ? STORE_NOT_FOUND : a->expected;
	if (a->entity)
		r->key = key_of(a, "id");
}

/* cardea_keep_used_authority: the referrer's id stands where a constraint's name would. */
static void fault_in_use(struct store_result *r, const struct about *a, const struct pg_failure *f)
{
	const struct entity *referrer = entity_find(str_from(f->table));

	(void)a;
	r->fault = STORE_IN_USE;
	r->referrer = referrer ? referrer->name : NULL;
	r->key = json_pack("{s:s}", "id", f->constraint);
}

/* cardea_plugin_authorities: the id of what is not there stands where a constraint's name would. */
static void fault_dangling(struct store_result *r, const struct about *a,
			   const struct pg_failure *f)
{
	(void)a;
	r->fault = STORE_FOREIGN;
	r->key = json_pack("{s:{s:s}}", f->table, "id", f->constraint);
}

static void fault_lease(struct store_result *r, const struct about *a, const struct pg_failure *f)
{
	(void)a;
	(void)f;
	r->fault = STORE_LEASE;
}

static void fault_version(struct store_result *r, const struct about *a, const struct pg_failure *f)
{
	(void)f;
	r->fault = STORE_VERSION;
	r->key = key_of(a, "id");
}

/* r->key becomes a new reference. */
static void fault_of(struct store_result *r, const struct txn *t, const struct pg_failure *f)
{
	static const struct {
		const char *state;
		void (*map)(struct store_result *r, const struct about *a,
			    const struct pg_failure *f);
	} maps[] = {
		{"23505", fault_unique}, {"23503", fault_foreign},  {"23001", fault_foreign},
		{"CA001", fault_gone},	 {"CA002", fault_lease},    {"CA003", fault_version},
		{"CA004", fault_in_use}, {"CA005", fault_dangling},
	};
	static const struct about nothing = {NULL, NULL, STORE_OK, false};
	const struct about *a = f->statement < t->about_cap ? &t->about[f->statement] : &nothing;

	store_result_failure(r, f);
	if (f->kind != PG_REFUSED)
		return;
	r->entity = a->entity;
	for (size_t i = 0; i < array_len(maps); i++)
		if (strcmp(maps[i].state, f->state) == 0)
			maps[i].map(r, a, f);
}

/* --- the end --- */

static void finish(struct txn *t, struct store_result *r)
{
	t->done(r, t->arg);
	json_decref(r->key);
	txn_free(t);
}

static void finish_unknown(struct txn *t, const struct err *why)
{
	struct store_result r = {.fault = STORE_UNAVAILABLE, .err = *why};

	err_prefix(&r.err, "operation %s may or may not have been stored", t->operation);
	r.err.kind = ERR_UNAVAILABLE;
	log_warn("outcome of a write is unknown", log_str("operation", t->operation), log_err(why));
	finish(t, &r);
}

static void finish_committed(struct txn *t)
{
	struct store_result r = {
		.fault = STORE_OK, .revision = t->revision, .affected = t->affected};

	finish(t, &r);
}

/* --- an answer that was lost --- */

static void settle(struct txn *t, const struct err *why);

static void on_settle_result(struct pg_batch *b, size_t i, const struct pg_result *r)
{
	struct txn *t = container_of(b, struct txn, settle);
	struct str text = pg_result_text(r, 0, 0);

	(void)i;
	t->committed = text.ptr && str_u64(text, &t->revision) == 0;
}

static void on_settle_end(struct pg_batch *b, const struct pg_failure *f)
{
	struct txn *t = container_of(b, struct txn, settle);
	struct store_result r = {.fault = STORE_UNAVAILABLE};

	if (f) {
		settle(t, &f->err);
		return;
	}
	if (t->committed) {
		finish_committed(t);
		return;
	}
	err_set(&r.err, ERR_UNAVAILABLE, "the database went away before the write was stored");
	finish(t, &r);
}

static void settle(struct txn *t, const struct err *why)
{
	struct err e = *why;
	const char *param = t->operation;

	pg_batch_deinit(&t->settle);
	pg_batch_init(&t->settle);
	t->settle.on_result = on_settle_result;
	t->settle.on_end = on_settle_end;
	t->settle.deadline = t->batch.deadline;
	if (t->store->closing || clock_mono_ns() >= t->settle.deadline ||
	    pg_batch_add(&t->settle, "SELECT cardea_settle($1::uuid)", &param, 1, &e) < 0) {
		finish_unknown(t, &e);
		return;
	}
	t->committed = false;
	pool_run(t->store->pool, &t->settle);
}

/* --- running --- */

static void on_batch_result(struct pg_batch *b, size_t i, const struct pg_result *r)
{
	struct txn *t = container_of(b, struct txn, batch);
	uint64_t taken = 0, current = 0;

	if (i < t->about_cap && t->about[i].many)
		t->affected += pg_result_affected(r);
	if (i + 1 != b->count || pg_result_rows(r) != 1)
		return;
	if (str_u64(pg_result_text(r, 0, 0), &taken) == 0 && taken > 0)
		t->revision = taken;
	else if (str_u64(pg_result_text(r, 0, 1), &current) == 0)
		t->revision = current;
}

/* Deadlock or serialization failure: nobody's fault, and gone when tried again. */
static bool worth_another(const struct txn *t, const struct pg_failure *f)
{
	return f->kind == PG_REFUSED && strncmp(f->state, "40", 2) == 0 &&
	       t->retries < RETRIES_MAX && !t->store->closing &&
	       clock_mono_ns() < t->batch.deadline;
}

static void on_batch_end(struct pg_batch *b, const struct pg_failure *f)
{
	struct txn *t = container_of(b, struct txn, batch);
	struct store_result r = {.fault = STORE_OK};

	if (t->err.kind != ERR_NONE) {
		store_result_err(&r, &t->err);
		finish(t, &r);
	} else if (!f) {
		finish_committed(t);
	} else if (worth_another(t, f)) {
		t->retries++;
		t->affected = 0;
		pool_run(t->store->pool, b);
	} else if (f->kind == PG_LOST) {
		settle(t, &f->err);
	} else {
		fault_of(&r, t, f);
		finish(t, &r);
	}
}

static void add_revision(struct txn *t)
{
	const char *params[] = {t->operation, t->note};

	(void)add(t,
		  t->note ? "SELECT cardea_take_revision_noted($1::uuid, $2::jsonb), (SELECT "
			    "revision FROM cluster)"
			  : "SELECT cardea_take_revision($1::uuid), (SELECT revision FROM cluster)",
		  params, t->note ? 2 : 1, (struct about){NULL, NULL, STORE_OK, false});
}

void txn_commit(struct txn *t, store_done done, void *arg)
{
	t->done = done;
	t->arg = arg;
	t->batch.on_result = on_batch_result;
	t->batch.on_end = on_batch_end;
	/* A transaction that could not be put together runs as an empty batch: answered later. */
	if (t->err.kind == ERR_NONE)
		add_revision(t);
	if (t->err.kind != ERR_NONE)
		t->batch.count = 0;
	pool_run(t->store->pool, &t->batch);
}
