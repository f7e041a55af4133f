#include "control-plane/bulk/import.h"

#include <malloc.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/sm.h"
#include "control-plane/bulk/import_internal.h"

enum {
	/* Threads of the pool that one import takes: others need some too. */
	WORKERS_MAX = 3,
	BATCH_BYTES = 32 << 20,
	HELD_BYTES = 64 << 20,
};

static const struct sm_state states[IMPORT_STATES] = {
	[IMPORT_GATHERING] = {"gathering", SM_TO(IMPORT_ASKING) | SM_TO(IMPORT_ENDING)},
	[IMPORT_ASKING] = {"asking", SM_TO(IMPORT_LOOKING_UP) | SM_TO(IMPORT_ENDING)},
	[IMPORT_LOOKING_UP] = {"looking up", SM_TO(IMPORT_RESOLVING) | SM_TO(IMPORT_PAUSING) |
						     SM_TO(IMPORT_ENDING)},
	[IMPORT_RESOLVING] = {"resolving", SM_TO(IMPORT_STORING) | SM_TO(IMPORT_CLEARING) |
						   SM_TO(IMPORT_ENDING)},
	[IMPORT_STORING] = {"storing", SM_TO(IMPORT_CLEARING) | SM_TO(IMPORT_PAUSING) |
					       SM_TO(IMPORT_ASKING) | SM_TO(IMPORT_ENDING)},
	[IMPORT_PAUSING] = {"pausing", SM_TO(IMPORT_ASKING) | SM_TO(IMPORT_ENDING)},
	[IMPORT_CLEARING] = {"clearing", SM_TO(IMPORT_GATHERING) | SM_TO(IMPORT_ENDING)},
	[IMPORT_ENDING] = {"ending", 0},
};
static const struct sm machine = {"import", states, IMPORT_STATES};

void import_move(struct import *i, enum import_state to)
{
	i->state = (enum import_state)sm_move(&machine, i->state, to, NULL);
}

/* --- parcels --- */

struct parcel *import_head(const struct import *i)
{
	struct link *first = list_first(&i->parcels);

	return first ? container_of(first, struct parcel, link) : NULL;
}

void import_parcel_free(struct parcel *p)
{
	list_for_each_safe(it, &p->chunks)
	{
		list_remove(it);
		chunk_free(container_of(it, struct chunk, link));
	}
	batch_deinit(&p->batch);
	free(p);
}

static struct parcel *parcel_create(struct import *i)
{
	struct parcel *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->import = i;
	batch_init(&p->batch, i->conf.store);
	list_init(&p->link);
	list_init(&p->chunks);
	list_push(&i->parcels, &p->link);
	return p;
}

void import_stop(struct import *i, const struct err *why)
{
	if (i->stopped.kind == ERR_NONE)
		i->stopped = *why;
	i->input_done = true;
}

/* --- checking --- */

static void run_check(struct work *w)
{
	chunk_check(container_of(w, struct chunk, work), clock_wall_ms());
}

static void check_more(struct import *i);

static void on_checked(struct work *w)
{
	struct chunk *c = container_of(w, struct chunk, work);
	struct parcel *p = c->owner;
	struct import *i = p->import;

	i->checking--;
	p->unchecked--;
	check_more(i);
	import_advance(i);
}

/* Chunks in order of their lines: the parcel at work first. */
static struct chunk *next_unchecked(struct import *i)
{
	list_for_each(at, &i->parcels)
	{
		struct parcel *p = container_of(at, struct parcel, link);

		list_for_each(it, &p->chunks)
		{
			struct chunk *c = container_of(it, struct chunk, link);

			if (!c->begun)
				return c;
		}
	}
	return NULL;
}

static void check_more(struct import *i)
{
	struct chunk *c;

	while (!i->released && i->checking < i->workers && (c = next_unchecked(i))) {
		struct err e = ERR_INIT;

		c->begun = true;
		if (work_start(&c->work, i->conf.loop, run_check, on_checked, &e) < 0) {
			import_stop(i, &e);
			return;
		}
		i->checking++;
	}
}

/* --- lines in --- */

/* The chunk that is being filled goes to its parcel. */
static void seal_chunk(struct import *i)
{
	struct chunk *c = i->filling;
	struct parcel *p = i->open;

	i->filling = NULL;
	c->owner = p;
	list_push(&p->chunks, &c->link);
	p->unchecked++;
	p->lines += c->count;
	p->bytes += c->text.len;
	if (p->lines >= i->conf.batch_lines || p->bytes >= BATCH_BYTES) {
		p->closed = true;
		i->open = NULL;
	}
}

static int take_line(struct import *i, const struct ndjson_line *line, struct err *e)
{
	if (!i->open)
		i->open = parcel_create(i);
	if (i->open && !i->filling)
		i->filling = chunk_create(i->conf.line_max);
	if (!i->open || !i->filling)
		return err_memory(e, "lines of an import");
	i->filling->verify = i->conf.verify;
	if (chunk_add(i->filling, line, e) < 0)
		return -1;
	i->counts.lines++;
	i->held_lines++;
	i->held_bytes += line->text.len;
	if (chunk_full(i->filling) || i->open->lines + i->filling->count >= i->conf.batch_lines)
		seal_chunk(i);
	return 0;
}

static void take_lines(struct import *i, struct str bytes, bool last)
{
	struct ndjson_line line;
	struct err e = ERR_INIT;
	int rc;

	while ((rc = ndjson_next(&i->lines, &bytes, last, &line, &e)) > 0) {
		if (take_line(i, &line, &e) < 0) {
			rc = -1;
			break;
		}
	}
	if (rc < 0)
		import_stop(i, &e);
}

static bool has_room(const struct import *i)
{
	return i->held_lines < 2 * (size_t)i->conf.batch_lines && i->held_bytes < HELD_BYTES;
}

bool import_feed(struct import *i, struct str bytes, bool last)
{
	if (i->input_done)
		return true;
	i->counts.bytes += bytes.len;
	take_lines(i, bytes, last);
	if (last && i->filling)
		seal_chunk(i);
	if (last && i->open)
		i->open->closed = true;
	if (last)
		i->open = NULL;
	i->input_done = i->input_done || last;
	check_more(i);
	/* Later: nobody is answered from inside his own call. */
	if (i->input_done || import_head(i))
		loop_defer(i->conf.loop, &i->soon);
	i->full = !has_room(i);
	return !i->full;
}

/* --- what can be done now --- */

static void tell(struct import *i)
{
	if (i->told || i->released)
		return;
	i->told = true;
	i->events.on_done(i->events.arg);
}

static void tell_room(struct import *i)
{
	if (!i->full || i->released || i->told || !has_room(i))
		return;
	i->full = false;
	i->events.on_room(i->events.arg);
}

static void sweep(struct import *i);

void import_advance(struct import *i)
{
	struct parcel *p = import_head(i);
	bool whole = p && p->closed && p->unchecked == 0;

	if (i->step_busy)
		return;
	if (i->released) {
		sweep(i);
		return;
	}
	if (i->state == IMPORT_GATHERING && i->stopped.kind == ERR_NONE && whole)
		import_begin_steps(i);
	else if (i->state == IMPORT_GATHERING &&
		 (i->stopped.kind != ERR_NONE || (!p && i->input_done)))
		import_move(i, IMPORT_ENDING);
	if (i->state == IMPORT_ENDING)
		tell(i);
	else
		tell_room(i);
}

static void on_soon(struct deferred *d)
{
	import_advance(container_of(d, struct import, soon));
}

/* --- reading --- */

void import_counts(const struct import *i, struct import_counts *out)
{
	*out = i->counts;
}

const struct err *import_stopped(const struct import *i)
{
	return &i->stopped;
}

json_t *import_report(const struct import *i)
{
	const struct import_counts *c = &i->counts;
	json_t *out = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:I}", "lines", (json_int_t)c->lines,
		"stored", (json_int_t)c->stored, "changed", (json_int_t)c->changed, "refused",
		(json_int_t)c->refused, "skipped", (json_int_t)c->skipped, "batches",
		(json_int_t)c->batches, "batches_refused", (json_int_t)c->batches_refused,
		"revision", (json_int_t)c->revision, "errors", i->errors, "errors_omitted",
		(json_int_t)(c->refused - json_array_size(i->errors)));

	if (out && i->stopped.kind != ERR_NONE)
		json_object_set_new(out, "message", json_string(i->stopped.message));
	return out;
}

/* --- life --- */

static int copy_note(struct import *i, const struct store_note *n, struct err *e)
{
	const char *texts[] = {n->actor, n->actor_kind, n->address, n->method, n->path};

	for (size_t k = 0; k < array_len(texts); k++) {
		if (!texts[k])
			continue;
		texts[k] = arena_str(&i->arena, str_from(texts[k])).ptr;
		if (!texts[k])
			return err_memory(e, "starting an import");
	}
	i->note = (struct store_note){
		.actor = texts[0],
		.actor_kind = texts[1],
		.address = texts[2],
		.method = texts[3],
		.path = texts[4],
		.if_changed = true,
	};
	return 0;
}

int import_start(struct import **out, const struct import_conf *c, const struct import_events *ev,
		 struct err *e)
{
	struct import *i = calloc(1, sizeof(*i));
	unsigned cores = uv_available_parallelism();

	if (!i)
		return err_memory(e, "starting an import");
	arena_init(&i->arena, 0);
	i->errors = json_array();
	if (!i->errors)
		err_memory(e, "starting an import");
	if (!i->errors || (c->note && copy_note(i, c->note, e) < 0)) {
		json_decref(i->errors);
		arena_deinit(&i->arena);
		free(i);
		return -1;
	}
	i->conf = *c;
	i->events = *ev;
	i->workers = cores < WORKERS_MAX ? cores : WORKERS_MAX;
	ndjson_init(&i->lines, c->line_max);
	list_init(&i->parcels);
	timer_init(&i->pause, c->loop, import_on_pause);
	deferred_init(&i->soon, on_soon);
	*out = i;
	return 0;
}

static void on_timer_closed(struct timer *t)
{
	struct import *i = container_of(t, struct import, pause);

	ndjson_deinit(&i->lines);
	json_decref(i->errors);
	arena_deinit(&i->arena);
	if (i->on_released)
		i->on_released(i->on_released_arg);
	free(i);
}

static void run_sweep(struct work *w)
{
	struct import *i = container_of(w, struct import, step);

	if (i->spent)
		import_parcel_free(i->spent);
	chunk_free(i->filling);
	list_for_each_safe(it, &i->parcels)
	{
		list_remove(it);
		import_parcel_free(container_of(it, struct parcel, link));
	}
	/* What a hundred thousand rows took is not needed again. */
	malloc_trim(0);
}

static void on_swept(struct work *w)
{
	struct import *i = container_of(w, struct import, step);

	timer_close(&i->pause, on_timer_closed);
}

/* Once nothing else is under way. */
static void sweep(struct import *i)
{
	if (i->checking > 0 || i->step_busy)
		return;
	i->step_busy = true;
	deferred_cancel(&i->soon);
	if (work_start(&i->step, i->conf.loop, run_sweep, on_swept, NULL) == 0)
		return;
	run_sweep(&i->step);
	on_swept(&i->step);
}

void import_end(struct import *i, void (*released)(void *arg), void *arg)
{
	i->released = true;
	i->on_released = released;
	i->on_released_arg = arg;
	i->input_done = true;
	timer_stop(&i->pause);
	loop_defer(i->conf.loop, &i->soon);
}
