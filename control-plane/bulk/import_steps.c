/* The steps of one batch of an import, from its checked rows to its revision.
 *
 * Failure paths:
 * - a refused row: its batch is not stored, the next begins
 * - somebody else's write in between: asked and resolved again, three times; then refused as a
 * whole
 * - the database is away: tried again for a minute, from the question on; then the import ends
 * - memory: the import ends
 */
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/bulk/import_internal.h"

enum {
	/* A batch in the database, with what it waits for. */
	STORE_MS = 60000,
	/* How long a database may be away, and how often it is tried. */
	PATIENCE_MS = 60000,
	PAUSE_MS = 500,
	/* Of a batch that raced with somebody else's write. */
	TRIES_MAX = 3,
};

/* --- steps of the parcel at work --- */

static void run_ask(struct work *w)
{
	struct import *i = container_of(w, struct import, step);
	struct parcel *p = import_head(i);

	list_for_each_safe(it, &p->chunks)
	{
		struct chunk *c = container_of(it, struct chunk, link);

		if (chunk_give(c, &p->batch, &i->err) < 0)
			return;
		list_remove(it);
		chunk_free(c);
	}
	if (batch_ask(&p->batch, &i->err) < 0)
		return;
}

static void run_resolve(struct work *w)
{
	struct import *i = container_of(w, struct import, step);

	(void)!batch_resolve(&import_head(i)->batch, clock_wall_ms(), &i->err);
}

/* A batch is some hundred thousand allocations. */
static void run_clear(struct work *w)
{
	struct import *i = container_of(w, struct import, step);

	import_parcel_free(i->spent);
	i->spent = NULL;
}

static void on_step(struct work *w);

static void step(struct import *i, enum import_state to, void (*run)(struct work *w))
{
	struct err e = ERR_INIT;

	import_move(i, to);
	err_clear(&i->err);
	if (work_start(&i->step, i->conf.loop, run, on_step, &e) < 0) {
		import_stop(i, &e);
		import_move(i, IMPORT_ENDING);
		return;
	}
	i->step_busy = true;
}

/* --- the database --- */

static void pause_or_stop(struct import *i, const struct err *why)
{
	uint64_t now = clock_mono_ns();

	if (!i->away_since_ns)
		i->away_since_ns = now;
	if (now - i->away_since_ns > PATIENCE_MS * 1000000ULL) {
		import_stop(i, why);
		import_move(i, IMPORT_ENDING);
		import_advance(i);
		return;
	}
	log_warn("an import waits for the database", log_err(why));
	import_move(i, IMPORT_PAUSING);
	timer_start(&i->pause, PAUSE_MS, 0);
}

void import_on_pause(struct timer *t)
{
	struct import *i = container_of(t, struct import, pause);

	if (!i->released)
		step(i, IMPORT_ASKING, run_ask);
}

static void looked_up(struct import *i)
{
	i->step_busy = false;
	if (i->released) {
		import_advance(i);
	} else if (i->lookup_fault == STORE_UNAVAILABLE) {
		pause_or_stop(i, &i->err);
	} else if (i->lookup_fault != STORE_OK) {
		import_stop(i, &i->err);
		import_move(i, IMPORT_ENDING);
		import_advance(i);
	} else {
		step(i, IMPORT_RESOLVING, run_resolve);
	}
}

static void on_found(const struct store_result *r, void *arg)
{
	struct question *q = arg;
	struct import *i = q->import;
	const json_t *found = json_object_get(json_array_get(r->rows, 0), "found");
	struct str text = {json_string_value(found), json_string_length(found)};

	if (r->fault != STORE_OK && i->lookup_fault != STORE_FAILED) {
		i->lookup_fault = r->fault == STORE_UNAVAILABLE ? r->fault : STORE_FAILED;
		i->err = r->err;
	} else if (r->fault == STORE_OK && !i->released &&
		   batch_answer(&import_head(i)->batch, q->lookup, text, &i->err) < 0) {
		i->lookup_fault = STORE_FAILED;
	}
	if (--i->lookups == 0)
		looked_up(i);
}

static void look_up(struct import *i)
{
	struct batch *b = &import_head(i)->batch;

	import_move(i, IMPORT_LOOKING_UP);
	i->step_busy = true;
	i->lookup_fault = STORE_OK;
	i->lookups = 1;
	for (size_t n = 0; n < LOOKUP_KINDS_MAX && b->lookups[n].entity; n++) {
		const char *params[LOOKUP_FIELDS_MAX + 1];
		size_t count;

		if (!b->lookups[n].wanted)
			continue;
		i->questions[n] = (struct question){i, n};
		lookup_params(&b->lookups[n], params, &count);
		i->lookups++;
		store_query(i->conf.store, b->lookups[n].sql.data, params, count, on_found,
			    &i->questions[n]);
	}
	/* One more than was asked, so that this runs after all were. */
	if (--i->lookups == 0)
		looked_up(i);
}

/* --- the end of a batch --- */

static void name_refused(struct import *i, const struct batch_row *r)
{
	json_t *entry;

	i->counts.refused++;
	if (json_array_size(i->errors) >= IMPORT_ERRORS_MAX)
		return;
	entry = json_pack("{s:I, s:s?, s:O?, s:O?}", "line", (json_int_t)r->line, "entity",
			  r->entity ? r->entity->name : NULL, "message",
			  json_object_get(r->refusal, "message"), "fields",
			  json_object_get(r->refusal, "fields"));
	if (!entry || json_array_append_new(i->errors, entry) < 0)
		log_warn("a refused line could not be noted", log_u64("line", r->line));
}

/* The parcel at work is over; its memory is given back on the pool. */
static void clear(struct import *i)
{
	struct parcel *p = import_head(i);

	i->held_lines -= p->lines;
	i->held_bytes -= p->bytes;
	list_remove(&p->link);
	i->spent = p;
	step(i, IMPORT_CLEARING, run_clear);
}

static void refused(struct import *i)
{
	const struct batch *b = &import_head(i)->batch;

	for (size_t n = 0; n < b->lines; n++)
		if (b->rows[n].refusal)
			name_refused(i, &b->rows[n]);
	i->counts.batches++;
	i->counts.batches_refused++;
	i->counts.skipped += b->lines - b->refused;
	clear(i);
}

/* The database refused what was right a moment ago, again and again. */
static void refused_whole(struct import *i, const struct store_result *r)
{
	const struct batch *b = &import_head(i)->batch;
	json_t *message = json_sprintf(
		"the batch of lines %llu to %llu: %s", (unsigned long long)b->rows[0].line,
		(unsigned long long)b->rows[b->lines - 1].line, r->err.message);
	struct batch_row row = {.line = b->rows[0].line, .entity = r->entity};

	row.refusal = json_pack("{s:o, s:O}", "message", message, "fields",
				r->key ? r->key : json_null());
	name_refused(i, &row);
	json_decref(row.refusal);
	i->counts.batches++;
	i->counts.batches_refused++;
	i->counts.skipped += b->lines - 1;
	clear(i);
}

static void on_stored(const struct store_result *r, void *arg)
{
	struct import *i = arg;
	struct parcel *p = import_head(i);

	i->step_busy = false;
	if (r->fault == STORE_OK) {
		i->away_since_ns = 0;
		i->counts.batches++;
		i->counts.stored += p->batch.lines;
		i->counts.changed += r->affected;
		i->counts.revision = r->revision;
	}
	if (i->released)
		import_advance(i);
	else if (r->fault == STORE_OK)
		clear(i);
	else if (r->fault == STORE_UNAVAILABLE)
		pause_or_stop(i, &r->err);
	else if (++p->tries < TRIES_MAX)
		step(i, IMPORT_ASKING, run_ask);
	else
		refused_whole(i, r);
}

static void store(struct import *i)
{
	struct txn *t = txn_create(i->conf.store, NULL);
	struct err e = ERR_INIT;

	if (!t) {
		err_memory(&e, "storing a batch");
		import_stop(i, &e);
		import_move(i, IMPORT_ENDING);
		import_advance(i);
		return;
	}
	import_move(i, IMPORT_STORING);
	i->step_busy = true;
	txn_allow(t, STORE_MS);
	if (i->note.actor)
		txn_note(t, &i->note);
	batch_store(&import_head(i)->batch, t);
	txn_commit(t, on_stored, i);
}

static void on_step(struct work *w)
{
	struct import *i = container_of(w, struct import, step);

	i->step_busy = false;
	if (i->err.kind != ERR_NONE)
		import_stop(i, &i->err);
	if (i->released || i->err.kind != ERR_NONE) {
		if (i->state != IMPORT_ENDING)
			import_move(i, IMPORT_ENDING);
		import_advance(i);
	} else if (i->state == IMPORT_ASKING) {
		look_up(i);
	} else if (i->state == IMPORT_CLEARING) {
		import_move(i, IMPORT_GATHERING);
		import_advance(i);
	} else if (import_head(i)->batch.refused) {
		refused(i);
	} else {
		store(i);
	}
}

void import_begin_steps(struct import *i)
{
	step(i, IMPORT_ASKING, run_ask);
}
