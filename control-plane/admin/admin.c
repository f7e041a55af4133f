/* A request's way from its head to a handler.
 *
 *   head ─▶ who (401, 429) ─▶ type (415, 400) ─▶ path (404) ─▶ method (405) ─▶ role (403) ─▶ body
 *        └▶ OPTIONS: needs nobody                                  ─▶ decode (400) ─▶ handler ─▶
 * answer
 *
 * Until it is known who asks, no more of the body is taken than one window of it.
 * Failure paths: body too large: the session answers 413 · client gone: admin_request_gone, running
 * calls find out later.
 */
#include "control-plane/admin/admin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/core/log.h"
#include "control-plane/admin/audit.h"
#include "control-plane/admin/decode.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/import_api.h"
#include "control-plane/admin/ports.h"
#include "control-plane/admin/request.h"
#include "control-plane/admin/router.h"

struct admin {
	struct admin_context ctx;
	struct ports ports;
	struct audit_keeper keeper;
	struct metric_series *rejected;
	unsigned closing_left;
	void (*closed)(void *arg);
	void *closed_arg;
};

static struct str error_body(unsigned status, struct str *content_type, void *arg)
{
	static const struct {
		unsigned status;
		struct str body;
	} bodies[] = {
		{408, STR("{\"message\":\"Request timeout\"}")},
		{413, STR("{\"message\":\"Payload too large\"}")},
		{414, STR("{\"message\":\"URI too long\"}")},
		{431, STR("{\"message\":\"Request header fields too large\"}")},
	};

	(void)arg;
	*content_type = STR("application/json; charset=utf-8");
	for (size_t i = 0; i < array_len(bodies); i++)
		if (bodies[i].status == status)
			return bodies[i].body;
	return STR("{\"message\":\"Bad request\"}");
}

static bool has_body_method(struct str method)
{
	return str_eq(method, STR("POST")) || str_eq(method, STR("PUT")) ||
	       str_eq(method, STR("PATCH"));
}

static void run(struct admin_request *r)
{
	struct err e = ERR_INIT;

	if (!has_body_method(exchange_request(r->x)->method) || decode_body(r, &e) == 0)
		r->handler(r);
	else if (e.kind == ERR_MEMORY)
		fault_internal(r);
	else
		admin_reply_message(r, 400, "%s", e.message);
}

static void reply_options(struct admin_request *r, const struct route *route)
{
	struct arena *a = exchange_arena(r->x);
	struct str asked = http_fields_get(&exchange_request(r->x)->fields,
					   STR("access-control-request-headers"));
	struct str allowed = router_allowed(route, a);
	struct http_fields extra = {0};
	int rc = http_fields_add(&extra, a, STR("allow"), allowed);

	rc |= http_fields_add(&extra, a, STR("access-control-allow-methods"), allowed);
	rc |= http_fields_add(&extra, a, STR("access-control-allow-headers"),
			      asked.ptr ? asked : STR("Content-Type"));
	if (rc < 0)
		fault_internal(r);
	else
		admin_reply_text(r, 204, STR_NONE, STR(""), &extra);
}

static void reply_type(struct admin_request *r, enum decode_verdict type)
{
	if (type == DECODE_UNSUPPORTED)
		admin_reply_empty(r, 415);
	else
		admin_reply_text(r, 400, STR("text/plain"),
				 STR("Multiple Content-Type headers not allowed"), NULL);
}

static void reply_route(struct admin_request *r, enum router_verdict found,
			const struct route *route)
{
	if (found == ROUTER_OPTIONS)
		reply_options(r, route);
	else if (found == ROUTER_NO_METHOD)
		admin_reply_message(r, 405, "Method not allowed");
	else
		admin_reply_message(r, 404, "Not found");
}

static void reject_body(struct admin_request *r)
{
	struct admin *a = container_of(r->ctx, struct admin, ctx);

	if (a->rejected)
		metric_add(a->rejected, 1);
	admin_reply_message(r, 413, "Payload too large");
}

/* Kong's order of checks: content type, path, method (kong-admin-api.md 1.2). Answers by itself
 * unless it returns true. */
static bool admit(struct admin_request *r)
{
	const struct http_request *q = exchange_request(r->x);
	enum decode_verdict type = has_body_method(q->method) ? decode_type(q) : DECODE_OK;
	const struct route *route = NULL;
	enum router_verdict found = router_find(r, q, exchange_arena(r->x), &route);

	if (!r->streams && q->content_length > 0 &&
	    (uint64_t)q->content_length > r->ctx->conf.body_max) {
		reject_body(r);
		return false;
	}
	if (type == DECODE_DUPLICATE_TYPE || (type == DECODE_UNSUPPORTED && !r->streams)) {
		reply_type(r, type);
		return false;
	}
	if (found != ROUTER_FOUND) {
		reply_route(r, found, route);
		return false;
	}
	if (r->open)
		return true;
	return access_allowed(r, route->pattern);
}

/* From here on the body flows. */
static void release_body(struct admin_request *r)
{
	size_t held = r->held;

	r->released = true;
	r->held = 0;
	exchange_consumed(r->x, held);
}

/* It is known who asks. */
static void identified(struct admin_request *r)
{
	release_body(r);
	r->admitted = admit(r);
	if (r->admitted && r->streams)
		r->handler(r);
	else if (r->admitted && r->complete)
		run(r);
}

static struct admin_request *begin(struct exchange *x, struct admin *a)
{
	struct admin_request *r = admin_request_create(&a->ctx, x);

	if (!r) {
		exchange_abort(x, NULL);
		return NULL;
	}
	exchange_set_user(x, r);
	r->complete = !exchange_request(x)->has_body;
	return r;
}

static void on_head(struct exchange *x, void *arg)
{
	struct admin_request *r = begin(x, arg);

	if (!r)
		return;
	/* Browsers ask before they send credentials; what is answered is the same for everybody. */
	if (str_eq(exchange_request(x)->method, STR("OPTIONS")))
		identified(r);
	else
		access_identify(r, identified);
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct admin_request *r = exchange_user(x);
	struct err e = ERR_INIT;

	(void)arg;
	if (!r)
		return;
	if (r->released)
		exchange_consumed(x, bytes.len);
	else
		r->held += bytes.len;
	r->complete = last;
	if (r->released && !r->admitted)
		return;
	if (r->body.len + bytes.len > r->ctx->conf.body_max ||
	    buf_add_str(&r->body, bytes, &e) < 0) {
		r->admitted = false;
		r->released = true;
		reject_body(r);
		return;
	}
	if (last && r->admitted)
		run(r);
}

static void on_end(struct exchange *x, const struct err *why, void *arg)
{
	struct admin_request *r = exchange_user(x);

	(void)why;
	(void)arg;
	if (r)
		admin_request_gone(r);
}

static const struct http_handler handler = {
	.on_head = on_head,
	.on_body = on_body,
	.on_end = on_end,
};

static bool is_shown(struct str path)
{
	static const struct str shown[] = {{"/status", 7}, {"/status/ready", 13}, {"/metrics", 8}};

	for (size_t i = 0; i < array_len(shown); i++)
		if (str_eq(path, shown[i]))
			return true;
	return false;
}

/* The status listener asks nobody who he is, so it shows what is needed from outside and nothing
 * else; where it matters who writes, nobody writes here. */
static void on_status_head(struct exchange *x, void *arg)
{
	struct admin *a = arg;
	const struct http_request *q = exchange_request(x);
	struct str type = STR("application/json; charset=utf-8");
	struct admin_request *r;

	if (!is_shown(q->path)) {
		exchange_reply(x, 404, type, STR("{\"message\":\"Not found\"}"), NULL);
		return;
	}
	if (a->ctx.access.required && has_body_method(q->method)) {
		exchange_reply(x, 405, type, STR("{\"message\":\"Method not allowed\"}"), NULL);
		return;
	}
	r = begin(x, a);
	if (!r)
		return;
	r->open = true;
	identified(r);
}

static const struct http_handler status_handler = {
	.on_head = on_status_head,
	.on_body = on_body,
	.on_end = on_end,
};

static const struct port_kind admin_kind = {"admin_listen", "admin", &handler, true};
static const struct port_kind status_kind = {"status_listen", "status", &status_handler, false};

static void on_rejected(const char *reason, void *arg)
{
	struct admin *a = arg;

	if (a->rejected)
		metric_add(a->rejected, 1);
	log_info("admin request refused", log_str("reason", reason));
}

static void count_rejected(struct admin *a)
{
	struct metric_family *f =
		metrics_family(a->ctx.conf.metrics, METRIC_COUNTER, "cardea_admin_rejected_total",
			       "Requests refused before they reached a handler.", NULL, NULL, 0);

	a->rejected = f ? metrics_series(f, NULL) : NULL;
}

/* An import's body is larger than others, which are refused by their own limit (admit). */
static uint64_t largest_body(const struct admin_conf *c)
{
	return c->import_max && c->import_max < c->body_max ? c->body_max : c->import_max;
}

static void setup_ports(struct admin *a)
{
	const struct admin_conf *c = &a->ctx.conf;
	const struct ports_conf p = {
		.cert_file = c->cert_file,
		.key_file = c->key_file,
		.client_ca_file = c->client_ca_file,
		.client_required = c->client_required,
		.max_connections = c->max_connections,
		.body_max = largest_body(c),
		.error_body = error_body,
		.on_rejected = on_rejected,
		.arg = a,
	};

	ports_init(&a->ports, a->ctx.loop, &p);
}

static int setup_access(struct admin *a, struct err *e)
{
	const struct admin_conf *c = &a->ctx.conf;
	const struct access_conf conf = {
		.required = c->auth_required,
		.origins = c->origins,
		.client_roles = c->client_roles,
		.failures_max = c->auth_failures_max,
		.metrics = c->metrics,
	};

	return access_init(&a->ctx.access, &conf, e);
}

int admin_start(struct admin **out, struct loop *l, struct store *s, struct fleet *f,
		struct acme *ac, const struct admin_conf *c, struct err *e)
{
	struct admin *a = calloc(1, sizeof(*a));

	if (!a)
		return err_memory(e, "starting the admin API");
	a->ctx = (struct admin_context){.loop = l, .store = s, .fleet = f, .acme = ac, .conf = *c};
	if (gethostname(a->ctx.hostname, sizeof(a->ctx.hostname) - 1) < 0)
		a->ctx.hostname[0] = '\0';
	setup_ports(a);
	count_rejected(a);
	audit_keeper_init(&a->keeper, l, s, &c->audit);
	*out = a;
	a->ctx.imports = import_gate_create(c->imports_max);
	if (!a->ctx.imports)
		return err_memory(e, "starting the admin API");
	if (setup_access(a, e) < 0 || ports_open(&a->ports, &c->listen, &admin_kind, e) < 0)
		return -1;
	return ports_open(&a->ports, &c->status_listen, &status_kind, e);
}

void admin_reload(struct admin *a)
{
	struct err e = ERR_INIT;

	if (ports_reload(&a->ports, &e) < 0)
		log_error("certificates of the admin API were not read again", log_err(&e));
}

void admin_drain(struct admin *a)
{
	a->ctx.draining = true;
	ports_drain(&a->ports, &admin_kind);
}

static void part_closed(void *arg)
{
	struct admin *a = arg;

	if (--a->closing_left > 0)
		return;
	access_deinit(&a->ctx.access);
	json_decref(a->ctx.endpoints);
	json_decref(a->ctx.openapi);
	import_gate_unref(a->ctx.imports);
	if (a->closed)
		a->closed(a->closed_arg);
	free(a);
}

void admin_close(struct admin *a, void (*closed)(void *arg), void *arg)
{
	a->closed = closed;
	a->closed_arg = arg;
	a->closing_left = 2;
	ports_close(&a->ports, part_closed, a);
	audit_keeper_close(&a->keeper, part_closed, a);
}
