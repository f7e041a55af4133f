/* POST /import: the body is taken as it comes, the answer is a report.
 *
 * Happy path: head ─▶ import ─▶ bytes in (held back while it has enough) ─▶ done ─▶ report.
 * A client that accepts application/x-ndjson gets 200 at once, a line of progress now and then, and
 * the report, with its status, as the last line; any other one answer with that status.
 * Failure paths:
 * - client gone: the import ends; a batch that is being stored may still be stored
 * - nothing comes for a minute: ends with 408
 * - over the size limit: the session answers 413
 */
#include "control-plane/admin/import_api.h"

#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/fault.h"
#include "control-plane/bulk/import.h"

enum { PROGRESS_MS = 500, IDLE_NS_PER_S = 1000000000, IDLE_S = 60 };

static const struct str type_lines = {"application/x-ndjson", 20};

struct import_gate {
	unsigned refs, running, max;
};

struct upload {
	struct admin_request *r; /* NULL: the client is gone */
	struct import *import;
	struct import_gate *gate;
	struct timer tick;
	struct barrier *barrier;
	json_t *report; /* while data planes are waited for */
	size_t owed;	/* bytes of the window that the client does not get yet */
	uint64_t heard_ns;
	bool progress; /* the answer has begun, line by line */
	bool full;     /* the client does not read the answer */
	bool last;     /* the whole body came */
	unsigned closing_left;
};

struct import_gate *import_gate_create(unsigned max)
{
	struct import_gate *g = calloc(1, sizeof(*g));

	if (g)
		*g = (struct import_gate){.refs = 1, .max = max};
	return g;
}

void import_gate_unref(struct import_gate *g)
{
	if (g && --g->refs == 0)
		free(g);
}

/* --- the end --- */

static void part_closed(struct upload *u)
{
	if (--u->closing_left > 0)
		return;
	u->gate->running--;
	import_gate_unref(u->gate);
	json_decref(u->report);
	free(u);
}

static void on_tick_closed(struct timer *t)
{
	part_closed(container_of(t, struct upload, tick));
}

static void on_released(void *arg)
{
	part_closed(arg);
}

static void on_end(struct exchange *x, const struct err *why, void *arg)
{
	struct upload *u = arg;
	struct admin_request *r = u->r;

	(void)x;
	if (why->kind != ERR_NONE)
		log_info("an import's client is gone", log_err(why));
	u->r = NULL;
	barrier_cancel(u->barrier);
	u->closing_left = 2;
	timer_close(&u->tick, on_tick_closed);
	import_end(u->import, on_released, u);
	admin_request_gone(r);
}

/* --- answers --- */

static void write_line(struct upload *u, const char *name, json_t *value, bool last)
{
	json_t *line = json_pack("{s:o}", name, value);
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	struct buf out = BUF_INIT;

	if (!text || buf_addf(&out, NULL, "%s\n", text) < 0)
		exchange_abort(u->r->x, NULL);
	else
		u->full = !exchange_write(u->r->x, buf_str(&out), last);
	buf_deinit(&out);
	free(text);
	json_decref(line);
}

static void write_progress(struct upload *u)
{
	struct import_counts c;

	import_counts(u->import, &c);
	write_line(u, "progress",
		   json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "bytes", (json_int_t)c.bytes,
			     "lines", (json_int_t)c.lines, "stored", (json_int_t)c.stored,
			     "refused", (json_int_t)c.refused, "skipped", (json_int_t)c.skipped,
			     "batches", (json_int_t)c.batches, "revision", (json_int_t)c.revision),
		   false);
}

static unsigned status_of(struct upload *u)
{
	static const struct {
		enum err_kind kind;
		unsigned status;
	} stops[] = {
		{ERR_INVALID, 400}, {ERR_LIMIT, 413},  {ERR_UNAVAILABLE, 503},
		{ERR_TIMEOUT, 503}, {ERR_DENIED, 408}, {ERR_CONFLICT, 409},
	};
	const struct err *why = import_stopped(u->import);
	struct import_counts c;

	import_counts(u->import, &c);
	for (size_t i = 0; i < array_len(stops); i++)
		if (why->kind == stops[i].kind)
			return stops[i].status;
	if (why->kind != ERR_NONE)
		return 500;
	if (c.batches_refused == 0)
		return 200;
	return c.batches_refused < c.batches ? 207 : 400;
}

static void end_progress(struct upload *u, json_t *report)
{
	json_object_set_new(report, "status", json_integer(status_of(u)));
	write_line(u, "result", report, true);
}

static void on_barrier(const struct barrier_result *b, void *arg)
{
	struct upload *u = arg;
	json_t *report = u->report;

	u->barrier = NULL;
	u->report = NULL;
	json_object_set(report, "missing_nodes", b->missing);
	end_progress(u, report);
}

/* Whether data planes are waited for before the last line. */
static bool wait_for_nodes(struct upload *u, json_t *report, uint64_t revision)
{
	uint64_t seconds = admin_prefer_wait(u->r);
	struct err e = ERR_INIT;

	if (!u->progress || seconds == 0 || revision == 0)
		return false;
	if (fleet_wait(&u->barrier, u->r->ctx->fleet, revision, seconds * 1000, on_barrier, u, &e) <
	    0) {
		log_warn("waiting for data planes failed", log_err(&e));
		return false;
	}
	u->report = report;
	return true;
}

static void on_done(void *arg)
{
	struct upload *u = arg;
	json_t *report = import_report(u->import);
	struct import_counts c;

	import_counts(u->import, &c);
	log_notice("import done", log_u64("lines", c.lines), log_u64("stored", c.stored),
		   log_u64("changed", c.changed), log_u64("refused", c.refused),
		   log_u64("revision", c.revision));
	timer_stop(&u->tick);
	if (!report)
		exchange_abort(u->r->x, NULL);
	else if (wait_for_nodes(u, report, c.revision))
		return;
	else if (u->progress)
		end_progress(u, report);
	else if (c.revision)
		admin_reply_write(u->r, status_of(u), report, c.revision);
	else
		admin_reply(u->r, status_of(u), report);
}

/* --- while it runs --- */

static void on_tick(struct timer *t)
{
	struct upload *u = container_of(t, struct upload, tick);
	uint64_t silent = clock_mono_ns() - u->heard_ns;
	struct err e = ERR_INIT;

	if (!u->r)
		return;
	if (u->progress && !u->last && u->owed == 0 && silent > (uint64_t)IDLE_S * IDLE_NS_PER_S) {
		err_set(&e, ERR_DENIED, "nothing came for %d seconds", IDLE_S);
		import_stop(u->import, &e);
	} else if (u->progress && !u->full) {
		write_progress(u);
	}
}

static void on_room(void *arg)
{
	struct upload *u = arg;
	size_t owed = u->owed;

	u->owed = 0;
	u->heard_ns = clock_mono_ns();
	if (u->r)
		exchange_consumed(u->r->x, owed);
}

/* False: the window stays closed by this much. */
static bool take(struct upload *u, struct str bytes, bool last)
{
	u->last = last;
	u->heard_ns = clock_mono_ns();
	return import_feed(u->import, bytes, last);
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct upload *u = arg;

	if (take(u, bytes, last))
		exchange_consumed(x, bytes.len);
	else
		u->owed += bytes.len;
}

static void on_drain(struct exchange *x, void *arg)
{
	struct upload *u = arg;

	(void)x;
	u->full = false;
}

static const struct http_handler handler = {
	.on_body = on_body,
	.on_drain = on_drain,
	.on_end = on_end,
};

/* --- the beginning --- */

static bool accepts_lines(struct admin_request *r)
{
	return http_fields_has_token(&exchange_request(r->x)->fields, STR("accept"), type_lines);
}

static void begin_progress(struct upload *u)
{
	struct http_response head = {.status = 200, .content_length = -1};

	if (http_fields_add(&head.fields, exchange_arena(u->r->x), STR("content-type"),
			    type_lines) < 0) {
		exchange_abort(u->r->x, NULL);
		return;
	}
	u->progress = true;
	exchange_continue(u->r->x);
	exchange_respond(u->r->x, &head, false);
}

/* The type is one, and the request has what is needed; else it is answered. */
static bool admit(struct admin_request *r, uint64_t *batch)
{
	const struct http_request *q = exchange_request(r->x);
	struct str type = http_fields_get(&q->fields, STR("content-type"));
	struct str asked = admin_query(r, "batch");
	struct http_fields extra = {0};

	*batch = IMPORT_BATCH_DEFAULT;
	if (store_read_only(r->ctx->store)) {
		admin_reply_message(r, 405, "not available when not using a database");
		return false;
	}
	if (!str_starts(type, type_lines)) {
		admin_reply_message(r, 415, "expected the content type application/x-ndjson");
		return false;
	}
	if (!q->has_body) {
		admin_reply_message(r, 400, "the request has no body");
		return false;
	}
	if (asked.ptr && (str_u64(asked, batch) < 0 || *batch < 1 || *batch > IMPORT_BATCH_MAX)) {
		admin_reply_message(r, 400, "batch must be an integer between 1 and %d",
				    IMPORT_BATCH_MAX);
		return false;
	}
	if (r->ctx->imports->running < r->ctx->imports->max)
		return true;
	if (http_fields_add(&extra, exchange_arena(r->x), STR("retry-after"), STR("10")) < 0)
		log_debug("no room for a header", log_str("header", "retry-after"));
	admin_reply_text(r, 429, STR("application/json; charset=utf-8"),
			 STR("{\"message\":\"too many imports at a time, try again\"}"), &extra);
	return false;
}

static struct upload *upload_create(struct admin_request *r, uint64_t batch, struct err *e)
{
	struct upload *u = calloc(1, sizeof(*u));
	struct store_note note;
	const struct import_conf c = {
		.loop = r->ctx->loop,
		.store = r->ctx->store,
		.batch_lines = (unsigned)batch,
		.line_max = IMPORT_LINE_MAX,
		.verify = r->ctx->conf.verify,
		.note = audit_note(r, &note, NULL, NULL),
	};
	const struct import_events ev = {on_room, on_done, u};

	if (!u) {
		err_memory(e, "an import");
		return NULL;
	}
	if (import_start(&u->import, &c, &ev, e) < 0) {
		free(u);
		return NULL;
	}
	u->r = r;
	u->gate = r->ctx->imports;
	u->gate->refs++;
	u->gate->running++;
	u->heard_ns = clock_mono_ns();
	timer_init(&u->tick, r->ctx->loop, on_tick);
	return u;
}

void import_api_post(struct admin_request *r)
{
	struct err e = ERR_INIT;
	struct upload *u;
	uint64_t batch;

	if (!admit(r, &batch)) {
		r->admitted = false;
		return;
	}
	u = upload_create(r, batch, &e);
	if (!u) {
		r->admitted = false;
		fault_internal(r);
		return;
	}
	exchange_set_handler(r->x, &handler, u);
	timer_start(&u->tick, PROGRESS_MS, PROGRESS_MS);
	if (accepts_lines(r))
		begin_progress(u);
	/* What came before it was known who asks. */
	(void)take(u, buf_str(&r->body), r->complete);
	buf_deinit(&r->body);
}
