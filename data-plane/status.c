#include "data-plane/status.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/core/log.h"
#include "common/http/session.h"
#include "common/net/listener.h"

enum { METRICS_MAX = 4 << 20 };

struct status {
	struct status_conf conf;
	struct http_server http;
	struct listener *listeners[LISTEN_ENTRIES_MAX];
	size_t count;
	void (*closed)(void *arg);
	void *closed_arg;
};

static void reply_json(struct exchange *x, unsigned code, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (text)
		exchange_reply(x, code, STR("application/json; charset=utf-8"), str_from(text),
			       NULL);
	else
		exchange_reply(x, 500, STR_NONE, STR(""), NULL);
	free(text);
	json_decref(body);
}

/* How many of each kind are held. NULL: out of memory. */
static json_t *table_counts(const struct status_facts *f)
{
	json_t *out = json_pack("{s:I, s:I}", "certificates", (json_int_t)f->certificates, "names",
				(json_int_t)f->names);
	int rc = 0;

	for (unsigned k = CHANGE_ROUTE; k < CHANGE_KINDS; k++)
		rc |= json_object_set_new(out, change_kind_name((enum change_kind)k),
					  json_integer((json_int_t)f->others[k]));
	if (rc == 0)
		return out;
	json_decref(out);
	return NULL;
}

static void show_status(struct exchange *x, struct status *s)
{
	struct status_facts f = {0};

	s->conf.facts(&f, s->conf.arg);
	reply_json(x, 200,
		   json_pack("{s:s, s:s, s:{s:s, s:I}, s:{s:b, s:s, s:I}, s:{s:I}, s:o}", "node_id",
			     f.node_id, "version", CARDEA_VERSION, "configuration", "epoch",
			     f.epoch, "revision", (json_int_t)f.revision, "control_plane",
			     "connected", f.connected, "problem", f.problem, "stale_seconds",
			     (json_int_t)f.stale_seconds, "server", "connections_active",
			     (json_int_t)f.connections, "tables", table_counts(&f)));
}

static void show_ready(struct exchange *x, struct status *s)
{
	struct status_facts f = {0};

	s->conf.facts(&f, s->conf.arg);
	reply_json(x, f.not_ready ? 503 : 200,
		   json_pack("{s:s}", "message", f.not_ready ? f.not_ready : "ready"));
}

static void show_metrics(struct exchange *x, struct status *s)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	buf_init(&out, METRICS_MAX);
	if (metrics_render(s->conf.metrics, &out, &e) == 0)
		exchange_reply(x, 200, STR("text/plain; version=0.0.4; charset=utf-8"),
			       buf_str(&out), NULL);
	else
		exchange_reply(x, 500, STR("text/plain"), str_from(e.message), NULL);
	buf_deinit(&out);
}

static const struct {
	struct str path;
	void (*show)(struct exchange *x, struct status *s);
} pages[] = {
	{{"/status", 7}, show_status},
	{{"/status/ready", 13}, show_ready},
	{{"/metrics", 8}, show_metrics},
};

static void on_head(struct exchange *x, void *arg)
{
	const struct http_request *r = exchange_request(x);

	if (!str_eq(r->method, STR("GET")) && !str_eq(r->method, STR("HEAD"))) {
		reply_json(x, 405, json_pack("{s:s}", "message", "Method not allowed"));
		return;
	}
	for (size_t i = 0; i < array_len(pages); i++) {
		if (str_eq(r->path, pages[i].path)) {
			pages[i].show(x, arg);
			return;
		}
	}
	reply_json(x, 404, json_pack("{s:s}", "message", "Not found"));
}

static const struct http_handler handler = {.on_head = on_head};

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct status *s = arg;
	struct err e = ERR_INIT;

	(void)l;
	return http_server_accept(&s->http, o, &e);
}

int status_start(struct status **out, struct loop *l, const struct status_conf *c, struct err *e)
{
	struct status *s = calloc(1, sizeof(*s));

	if (!s)
		return err_memory(e, "making the status listener");
	s->conf = *c;
	http_server_init(&s->http, &handler, s);
	s->http.server_header = "cardea/" CARDEA_VERSION;
	for (; s->count < c->listen.count; s->count++) {
		struct listener_options o = {
			.entry = c->listen.entries[s->count], .on_accept = on_accept, .arg = s};

		o.fd = c->sockets ? sockets_take(c->sockets, &o.entry.addr) : -1;
		o.inherited = o.fd >= 0;
		s->http.http2 = s->http.http2 || o.entry.http2;
		if (listener_start(&s->listeners[s->count], l, &o, e) != 0) {
			status_close(s, NULL, NULL);
			return err_prefix(e, "status_listen");
		}
	}
	*out = s;
	return 0;
}

int status_sockets(const struct status *s, struct sockets *out, struct err *e)
{
	for (size_t i = 0; i < s->count; i++)
		if (sockets_add(out, &s->conf.listen.entries[i].addr, listener_fd(s->listeners[i]),
				e) != 0)
			return -1;
	return 0;
}

static void on_closed(void *arg)
{
	struct status *s = arg;
	void (*closed)(void *arg) = s->closed;
	void *closed_arg = s->closed_arg;

	free(s);
	if (closed)
		closed(closed_arg);
}

void status_close(struct status *s, void (*closed)(void *arg), void *arg)
{
	s->closed = closed;
	s->closed_arg = arg;
	for (size_t i = 0; i < s->count; i++)
		listener_close(s->listeners[i], NULL, NULL);
	if (!http_server_close(&s->http, on_closed, s))
		on_closed(s);
}
