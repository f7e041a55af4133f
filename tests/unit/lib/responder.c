#include "tests/unit/lib/responder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	struct responder *r = arg;
	struct err e = ERR_INIT;

	(void)l;
	o->tls = r->tls;
	return http_server_accept(&r->server, o, &e);
}

static void answer(struct exchange *x, const struct responder *r)
{
	struct http_field field = {STR("location"), STR("http://127.0.0.1:1/elsewhere")};
	const struct http_fields fields = {&field, 1, 1};

	if (r->status)
		exchange_reply(x, r->status, STR("application/octet-stream"), buf_str(&r->body),
			       r->status / 100 == 3 ? &fields : NULL);
}

static void on_head(struct exchange *x, void *arg)
{
	struct responder *r = arg;
	const struct http_request *q = exchange_request(x);
	struct str type = http_fields_get(&q->fields, STR("content-type"));

	r->requests++;
	snprintf(r->target, sizeof(r->target), "%.*s", (int)q->target.len, q->target.ptr);
	snprintf(r->method, sizeof(r->method), "%.*s", (int)q->method.len, q->method.ptr);
	snprintf(r->type, sizeof(r->type), "%.*s", (int)type.len, type.ptr ? type.ptr : "");
	buf_clear(&r->asked);
	if (!q->has_body)
		answer(x, r);
}

static void on_body(struct exchange *x, struct str bytes, bool last, void *arg)
{
	struct responder *r = arg;

	assert_int_equal(buf_add_str(&r->asked, bytes, NULL), 0);
	if (last)
		answer(x, r);
}

static const struct http_handler handler = {.on_head = on_head, .on_body = on_body};

void responder_start(struct responder *r, struct loop_fixture *f, SSL_CTX *tls)
{
	struct listener_options o = {.on_accept = on_accept, .arg = r};
	struct err e = ERR_INIT;

	*r = (struct responder){.f = f, .tls = tls, .status = 200};
	http_server_init(&r->server, &handler, r);
	assert_int_equal(addr_parse(&o.entry.addr, STR("127.0.0.1:0"), &e), 0);
	if (listener_start(&r->listener, &f->loop, &o, &e) < 0)
		fail_msg("%s", e.message);
	r->port = addr_port(listener_addr(r->listener));
	snprintf(r->url, sizeof(r->url), "%s://127.0.0.1:%u", tls ? "https" : "http", r->port);
}

void responder_stop(struct responder *r)
{
	listener_close(r->listener, NULL, NULL);
	http_server_close(&r->server, NULL, NULL);
	run_until(r->f, r->server.session_count == 0);
	buf_deinit(&r->body);
	buf_deinit(&r->asked);
}
