#include "tests/unit/lib/h1_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

/* --- the server: answers each head with the script's text --- */

struct h1_bed h1_bed;
struct h1_asked h1_asked[ASKED];

static void peer_open(struct conn *c, void *arg)
{
	struct peer *p = arg;

	p->conn = c;
	if (!h1_bed.deaf)
		conn_read_start(c);
}

static void peer_data(struct conn *c, struct str bytes, void *arg)
{
	struct peer *p = arg;

	oom_pause();
	assert_int_equal(buf_add_str(&p->got, bytes, NULL), 0);
	oom_go_on();
	if (!str_ends(buf_str(&p->got), STR("\r\n\r\n")))
		return;
	conn_write(c, h1_bed.script);
	if (h1_bed.close_after)
		conn_shutdown(c);
}

static void peer_close(struct conn *c, const struct err *why, void *arg)
{
	struct peer *p = arg;

	(void)c;
	p->conn = NULL;
	p->why = *why;
}

static const struct conn_events peer_events = {
	.on_open = peer_open, .on_data = peer_data, .on_close = peer_close};

static int on_accept(struct listener *l, struct conn_options *o, void *arg)
{
	(void)l;
	(void)arg;
	assert_true(h1_bed.count < PEERS);
	o->events = &peer_events;
	o->arg = &h1_bed.peers[h1_bed.count++];
	o->write_high = 64 << 20;
	return 0;
}

/* --- the client: writes down what it is told --- */

static void printf_like(2, 3) tell(struct h1_asked *a, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(a->told + a->told_len, sizeof(a->told) - a->told_len, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && a->told_len + (size_t)n < sizeof(a->told));
	a->told_len += (size_t)n;
}

static void close_in(struct h1_asked *a, enum h1_moment where)
{
	if (a->closes != where)
		return;
	upstream_call_close(a->call);
	a->call = NULL;
	tell(a, "closed");
}

static void on_ready(struct upstream_call *c, bool reused, void *arg)
{
	(void)c;
	tell(arg, "%s ", reused ? "reused" : "ready");
	close_in(arg, IN_READY);
}

static void on_interim(struct upstream_call *c, unsigned status, const struct http_fields *fields,
		       void *arg)
{
	(void)c;
	tell(arg, "%u/%zu ", status, fields->count);
	close_in(arg, IN_INTERIM);
}

static void on_taken_data(struct conn *c, struct str bytes, void *arg)
{
	(void)c;
	tell(arg, "%.*s", (int)bytes.len, bytes.ptr);
}

static void on_taken_close(struct conn *c, const struct err *why, void *arg)
{
	struct h1_asked *a = arg;

	(void)c;
	(void)why;
	a->taken = NULL;
}

static void on_switch(struct upstream_call *c, const struct http_response *r, void *arg)
{
	static const struct conn_events events = {.on_data = on_taken_data,
						  .on_close = on_taken_close};
	struct h1_asked *a = arg;
	struct str left;

	tell(a, "switch %zu ", r->fields.count);
	if (!a->takes)
		return;
	a->taken = upstream_call_take(c, &left);
	a->call = NULL;
	conn_set_events(a->taken, &events, a);
	tell(a, "left %.*s ", (int)left.len, left.ptr);
}

static void on_head(struct upstream_call *c, const struct http_response *r, bool end, void *arg)
{
	(void)c;
	tell(arg, "%u:%lld%s ", r->status, (long long)r->content_length, end ? "." : "");
	close_in(arg, IN_HEAD);
}

static void on_body(struct upstream_call *c, struct str bytes, void *arg)
{
	struct h1_asked *a = arg;

	a->body += bytes.len;
	if (bytes.len < 100)
		tell(a, "[%.*s] ", (int)bytes.len, bytes.ptr);
	if (!a->holds)
		upstream_call_consumed(c, bytes.len);
	close_in(a, IN_BODY);
}

static void on_drain(struct upstream_call *c, void *arg)
{
	(void)c;
	((struct h1_asked *)arg)->drains++;
}

static const char *const failures[UPSTREAM_FAILURES] = {
	"ok",	   "refused", "connect_timeout", "tls",	 "reset",
	"timeout", "unsafe",  "not_taken",	 "full", "memory",
};

static void on_end(struct upstream_call *c, const struct upstream_end *end,
		   const struct http_fields *trailers, void *arg)
{
	struct h1_asked *a = arg;

	assert_ptr_equal(c, a->call);
	for (size_t i = 0; i < trailers->count; i++)
		tell(a, "%.*s=%.*s ", (int)trailers->items[i].name.len, trailers->items[i].name.ptr,
		     (int)trailers->items[i].value.len, trailers->items[i].value.ptr);
	tell(a, "%s%s%s", failures[end->failure], end->sent ? " sent" : "",
	     end->answered ? " answered" : "");
	if (end->failure != UPSTREAM_OK)
		assert_int_not_equal(end->why.kind, ERR_NONE);
	a->call = NULL;
	a->ended = true;
	a->end = *end;
}

static const struct upstream_call_events events = {
	.on_ready = on_ready,
	.on_interim = on_interim,
	.on_switch = on_switch,
	.on_head = on_head,
	.on_body = on_body,
	.on_drain = on_drain,
	.on_end = on_end,
};

/* --- the bed --- */

void h1_bed_setup_pool(const struct upstream_pool_options *with)
{
	const struct listener_options o = {.on_accept = on_accept};
	struct upstream_pool_options p = *with;
	struct listener_options listen = o;

	memset(&h1_bed, 0, sizeof(h1_bed));
	memset(h1_asked, 0, sizeof(h1_asked));
	fixture_init(&h1_bed.f);
	assert_int_equal(addr_parse(&listen.entry.addr, STR("127.0.0.1:0"), NULL), 0);
	assert_int_equal(listener_start(&h1_bed.listener, &h1_bed.f.loop, &listen, NULL), 0);
	p.loop = &h1_bed.f.loop;
	assert_int_equal(upstream_pool_create(&h1_bed.pool, &p, NULL), 0);
	h1_bed.o = (struct upstream_call_options){
		.endpoint = {.addr = *listener_addr(h1_bed.listener)},
		.connect_ms = 10000,
		.write_ms = 10000,
		.read_ms = 10000,
		.events = &events,
	};
}

void h1_bed_setup(void)
{
	h1_bed_setup_pool(&(struct upstream_pool_options){
		.max_idle = 4, .idle_ms = 60000, .max_requests = 1000});
}

void h1_bed_teardown(void)
{
	for (size_t i = 0; i < ASKED; i++) {
		upstream_call_close(h1_asked[i].call);
		if (h1_asked[i].taken)
			conn_close(h1_asked[i].taken);
		arena_deinit(&h1_asked[i].arena);
	}
	upstream_pool_free(h1_bed.pool);
	for (size_t i = 0; i < h1_bed.count; i++) {
		if (h1_bed.peers[i].conn)
			conn_close(h1_bed.peers[i].conn);
		buf_deinit(&h1_bed.peers[i].got);
	}
	listener_close(h1_bed.listener, NULL, NULL);
	fixture_deinit(&h1_bed.f);
}

struct h1_asked *h1_ask_nothing(size_t i)
{
	struct h1_asked *a = &h1_asked[i];

	assert_null(a->call);
	a->told_len = 0;
	a->told[0] = '\0';
	a->ended = false;
	a->body = 0;
	h1_bed.o.arena = &a->arena;
	h1_bed.o.arg = a;
	assert_int_equal(upstream_call_start(&a->call, h1_bed.pool, &h1_bed.o, NULL), 0);
	assert_string_equal(a->told, ""); /* nothing from inside */
	return a;
}

struct http_request h1_request(const char *method, int64_t length)
{
	return (struct http_request){
		.version = HTTP_11,
		.method = str_from(method),
		.target = STR("/"),
		.authority = STR("h"),
		.content_length = length,
		.has_body = length != 0,
	};
}

void h1_give_head(struct h1_asked *a, const char *method, int64_t length)
{
	struct http_request r = h1_request(method, length);

	if (!upstream_call_is_ready(a->call))
		run_until(&h1_bed.f, !a->call || upstream_call_is_ready(a->call));
	if (a->call)
		upstream_call_send_head(a->call, &r, a->upgrade, false, length == 0);
}

struct h1_asked *h1_ask(size_t i, const char *method)
{
	struct h1_asked *a = h1_ask_nothing(i);

	h1_give_head(a, method, 0);
	return a;
}

struct upstream_pool_facts h1_facts(void)
{
	struct upstream_pool_facts out;

	upstream_pool_facts(h1_bed.pool, &out);
	return out;
}
