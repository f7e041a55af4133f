/* The admin and status listeners, and a request's way from its head to a handler.
 *
 *   head ─▶ type (415, 400) ─▶ path (404) ─▶ method (405, OPTIONS) ─▶ body ─▶ decode (400) ─▶
 * handler ─▶ answer Failure paths: body too large: the session answers 413 · client gone:
 * admin_request_gone, running calls find out later.
 */
#include "control-plane/admin/admin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/core/log.h"
#include "common/net/listener.h"
#include "common/net/tls.h"
#include "control-plane/admin/decode.h"
#include "control-plane/admin/fault.h"
#include "control-plane/admin/request.h"
#include "control-plane/admin/router.h"

struct port {
	struct admin *admin;
	struct listener *listener;
	struct http_server *server; /* admin or status */
	bool ssl;
};

struct admin {
	struct admin_context ctx;
	struct http_server server;
	struct http_server status_server;
	struct port ports[2 * LISTEN_ENTRIES_MAX];
	size_t port_count;
	SSL_CTX *tls;
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

/* Kong's order of checks: content type, path, method (kong-admin-api.md 1.2). Answers by itself
 * unless it returns true. */
static bool admit(struct admin_request *r, const struct http_request *q)
{
	enum decode_verdict type = has_body_method(q->method) ? decode_type(q) : DECODE_OK;
	const struct route *route = NULL;

	if (type == DECODE_UNSUPPORTED) {
		admin_reply_empty(r, 415);
		return false;
	}
	if (type == DECODE_DUPLICATE_TYPE) {
		admin_reply_text(r, 400, STR("text/plain"),
				 STR("Multiple Content-Type headers not allowed"), NULL);
		return false;
	}
	switch (router_find(r, q, exchange_arena(r->x), &route)) {
	case ROUTER_FOUND:
		return true;
	case ROUTER_OPTIONS:
		reply_options(r, route);
		return false;
	case ROUTER_NO_METHOD:
		admin_reply_message(r, 405, "Method not allowed");
		return false;
	case ROUTER_NO_PATH:
		break;
	}
	admin_reply_message(r, 404, "Not found");
	return false;
}

static void on_head(struct exchange *x, void *arg)
{
	struct admin *a = arg;
	const struct http_request *q = exchange_request(x);
	struct admin_request *r = admin_request_create(&a->ctx, x);

	if (!r) {
		exchange_abort(x, NULL);
		return;
	}
	exchange_set_user(x, r);
	if (!admit(r, q)) {
		r->handler = NULL;
		return;
	}
	if (!q->has_body)
		run(r);
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct admin_request *r = exchange_user(x);
	struct err e = ERR_INIT;

	(void)arg;
	if (!r || !r->handler)
		return;
	if (buf_add_str(&r->body, bytes, &e) < 0) {
		r->handler = NULL;
		admin_reply_message(r, 413, "Payload too large");
		return;
	}
	if (last)
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

/* The status listener shows what is needed from outside and nothing else. */
static void on_status_head(struct exchange *x, void *arg)
{
	static const struct str shown[] = {{"/status", 7}, {"/status/ready", 13}, {"/metrics", 8}};
	struct str path = exchange_request(x)->path;

	for (size_t i = 0; i < array_len(shown); i++) {
		if (str_eq(path, shown[i])) {
			on_head(x, arg);
			return;
		}
	}
	exchange_reply(x, 404, STR("application/json; charset=utf-8"),
		       STR("{\"message\":\"Not found\"}"), NULL);
}

static const struct http_handler status_handler = {
	.on_head = on_status_head,
	.on_body = on_body,
	.on_end = on_end,
};

static void on_rejected(const char *reason, void *arg)
{
	struct admin *a = arg;

	if (a->rejected)
		metric_add(a->rejected, 1);
	log_info("admin request refused", log_str("reason", reason));
}

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct port *p = arg;

	(void)l;
	if (p->admin->closing_left > 0 || http_server_accept(p->server, o, NULL) < 0)
		return -1;
	o->tls = p->ssl ? p->admin->tls : NULL;
	return 0;
}

static int open_port(struct admin *a, const struct listen_entry *entry, struct http_server *server,
		     struct err *e)
{
	struct port *p = &a->ports[a->port_count];
	struct listener_options o = {.entry = *entry, .on_accept = on_accept, .arg = p};
	char text[ADDR_TEXT_SIZE];

	*p = (struct port){.admin = a, .server = server, .ssl = entry->ssl};
	if (entry->ssl && !a->tls)
		return err_set(e, ERR_INVALID,
			       "a listener with ssl needs admin_ssl_cert and admin_ssl_cert_key");
	if (listener_start(&p->listener, a->ctx.loop, &o, e) < 0)
		return -1;
	a->port_count++;
	addr_text(listener_addr(p->listener), text, sizeof(text));
	log_notice("listening", log_str("what", server == &a->server ? "admin" : "status"),
		   log_str("address", text), log_str("tls", entry->ssl ? "on" : "off"));
	return 0;
}

static int open_ports(struct admin *a, struct err *e)
{
	const struct admin_conf *c = &a->ctx.conf;

	for (size_t i = 0; i < c->listen.count; i++)
		if (open_port(a, &c->listen.entries[i], &a->server, e) < 0)
			return err_prefix(e, "admin_listen");
	for (size_t i = 0; i < c->status_listen.count; i++)
		if (open_port(a, &c->status_listen.entries[i], &a->status_server, e) < 0)
			return err_prefix(e, "status_listen");
	return 0;
}

static int load_tls(struct admin *a, struct err *e)
{
	const struct tls_options o = {
		.server = true,
		.cert_file = a->ctx.conf.cert_file,
		.key_file = a->ctx.conf.key_file,
		.http2 = true,
	};

	if (!o.cert_file)
		return 0;
	return tls_context(&a->tls, &o, e);
}

static void setup_server(struct http_server *s, const struct http_handler *h, struct admin *a)
{
	http_server_init(s, h, a);
	s->limits.body = a->ctx.conf.body_max;
	s->max_connections = a->ctx.conf.max_connections;
	s->server_header = "cardea/" CARDEA_VERSION;
	s->http2 = true;
	s->error_body = error_body;
	s->on_rejected = on_rejected;
}

static void count_rejected(struct admin *a)
{
	struct metric_family *f =
		metrics_family(a->ctx.conf.metrics, METRIC_COUNTER, "cardea_admin_rejected_total",
			       "Requests refused before they reached a handler.", NULL, NULL, 0);

	a->rejected = f ? metrics_series(f, NULL) : NULL;
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
	setup_server(&a->server, &handler, a);
	setup_server(&a->status_server, &status_handler, a);
	count_rejected(a);
	*out = a;
	if (load_tls(a, e) < 0 || open_ports(a, e) < 0)
		return -1;
	return 0;
}

void admin_drain(struct admin *a)
{
	a->ctx.draining = true;
	http_server_drain(&a->server);
}

static void part_closed(void *arg)
{
	struct admin *a = arg;

	if (--a->closing_left > 0)
		return;
	SSL_CTX_free(a->tls);
	if (a->closed)
		a->closed(a->closed_arg);
	free(a);
}

void admin_close(struct admin *a, void (*closed)(void *arg), void *arg)
{
	a->closed = closed;
	a->closed_arg = arg;
	a->closing_left = (unsigned)a->port_count + 1;
	a->closing_left += http_server_close(&a->server, part_closed, a);
	a->closing_left += http_server_close(&a->status_server, part_closed, a);
	for (size_t i = 0; i < a->port_count; i++)
		listener_close(a->ports[i].listener, part_closed, a);
	part_closed(a);
}
