#include "data-plane/sync/probe.h"

#include <stdlib.h>

#include "common/core/clock.h"
#include "common/http/h1_parse.h"
#include "common/http/h1_write.h"
#include "common/net/conn.h"

enum { HEAD_MAX = 32 * 1024, ARENA_MAX = 192 * 1024, REQUEST_MAX = 64 * 1024 };

struct probe {
	struct conn *conn;
	enum check_type type;
	uint64_t until_ns, timeout_ms;
	void (*done)(enum probe_result r, unsigned status, void *arg); /* NULL: was told */
	void *arg;
	struct buf request;
	struct arena arena;
	struct h1_parser parser;
	struct http_response response;
};

static void tell(struct probe *p, enum probe_result r, unsigned status)
{
	void (*done)(enum probe_result, unsigned, void *) = p->done;

	p->done = NULL;
	conn_close(p->conn);
	if (done)
		done(r, status, p->arg);
}

static void on_open(struct conn *c, void *arg)
{
	struct probe *p = arg;
	uint64_t now = clock_mono_ns();

	if (p->type == CHECK_GRPCS && !str_eq(conn_alpn(c), STR("h2"))) {
		tell(p, PROBE_FAILED, 0);
		return;
	}
	if (p->type != CHECK_HTTP && p->type != CHECK_HTTPS) {
		tell(p, PROBE_CONNECTED, 0);
		return;
	}
	conn_write(c, buf_str(&p->request));
	conn_read_start(c);
	conn_idle_timeout(c, now < p->until_ns ? (p->until_ns - now) / 1000000 + 1 : 1);
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	struct probe *p = arg;
	struct str body;
	enum h1_event ev = H1_MORE;

	(void)c;
	/* Drops of an answer must not hold it. */
	if (clock_mono_ns() > p->until_ns) {
		tell(p, PROBE_TIMEOUT, 0);
		return;
	}
	while ((ev = h1_parse(&p->parser, &bytes, &body)) != H1_MORE) {
		if (ev == H1_HEAD && p->response.status >= 200) {
			tell(p, PROBE_STATUS, p->response.status);
			return;
		}
		if (ev == H1_ERROR) {
			tell(p, PROBE_FAILED, 0);
			return;
		}
		if (ev == H1_END)
			h1_parser_start_response(&p->parser, &p->arena, &p->response, STR("GET"));
	}
}

static void on_close(struct conn *c, const struct err *why, void *arg)
{
	struct probe *p = arg;

	(void)c;
	if (p->done)
		p->done(why->kind == ERR_TIMEOUT ? PROBE_TIMEOUT : PROBE_FAILED, 0, p->arg);
	h1_parser_deinit(&p->parser);
	arena_deinit(&p->arena);
	buf_deinit(&p->request);
	free(p);
}

static const struct conn_events events = {
	.on_open = on_open, .on_data = on_data, .on_close = on_close};

static int add_headers(struct http_fields *f, struct arena *a, const struct probe_options *o)
{
	for (size_t i = 0; i < o->header_count; i++)
		for (size_t k = 0; k < o->headers[i].count; k++)
			if (http_fields_add(f, a, o->headers[i].name, o->headers[i].values[k]) < 0)
				return -1;
	if (http_fields_get(f, STR("user-agent")).ptr)
		return 0;
	return http_fields_add(f, a, STR("user-agent"), STR("cardea/" CARDEA_VERSION));
}

static int write_request(struct probe *p, const struct probe_options *o, struct err *e)
{
	struct http_request r = {.method = STR("GET"),
				 .target = o->path,
				 .path = o->path,
				 .authority = o->host,
				 .content_length = -1};
	const struct h1_request_options close = {.close = true};
	struct h1_writer w;

	if (add_headers(&r.fields, &p->arena, o) < 0)
		return err_memory(e, "a health check");
	/* An operator may give the Host, too. */
	if (http_fields_get(&r.fields, STR("host")).ptr) {
		r.authority = http_fields_get(&r.fields, STR("host"));
		for (size_t i = 0; i < r.fields.count; i++)
			if (str_ieq(r.fields.items[i].name, STR("host")))
				r.fields.items[i--] = r.fields.items[--r.fields.count];
	}
	return h1_write_request(&w, &p->request, &r, &close, e);
}

int probe_start(struct probe **out, const struct probe_options *o, struct err *e)
{
	static const struct h1_limits limits = {.head = HEAD_MAX};
	struct probe *p = calloc(1, sizeof(*p));
	struct conn_options c = {.events = &events,
				 .tls = o->tls,
				 .server_name = o->tls ? o->server_name : NULL,
				 .handshake_timeout_ms = o->timeout_ms ? o->timeout_ms : 1,
				 .arg = p};
	char ip[ADDR_TEXT_SIZE];

	if (!p)
		return err_memory(e, "a health check");
	p->type = o->type;
	p->until_ns = clock_mono_ns() + o->timeout_ms * 1000000;
	p->done = o->done;
	p->arg = o->arg;
	buf_init(&p->request, REQUEST_MAX);
	arena_init(&p->arena, ARENA_MAX);
	h1_parser_init(&p->parser, &limits, o->tls ? STR("https") : STR("http"));
	h1_parser_start_response(&p->parser, &p->arena, &p->response, STR("GET"));
	addr_ip_text(o->addr, ip, sizeof(ip));
	if (write_request(p, o, e) == 0 &&
	    conn_connect(&p->conn, o->loop, ip, addr_port(o->addr), &c, e) == 0) {
		*out = p;
		return 0;
	}
	h1_parser_deinit(&p->parser);
	arena_deinit(&p->arena);
	buf_deinit(&p->request);
	free(p);
	return -1;
}

void probe_cancel(struct probe *p)
{
	if (!p)
		return;
	p->done = NULL;
	conn_close(p->conn);
}
