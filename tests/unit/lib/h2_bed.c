#include "tests/unit/lib/h2_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

/* --- the server --- */

struct server srv;

static void srv_flush(struct deferred *d)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)d;
	oom_pause();
	while (srv.conn && h2_wants_write(srv.h2)) {
		buf_clear(&out);
		assert_int_equal(h2_emit(srv.h2, &out, 32 << 10, &e), 0);
		if (out.len == 0)
			break;
		conn_write(srv.conn, buf_str(&out));
	}
	buf_deinit(&out);
	oom_go_on();
}

struct served *served_of(struct h2_stream *s)
{
	return container_of(s, struct served, h2);
}

static struct h2_stream *srv_begin(struct h2 *h, void *arg)
{
	struct served *s = calloc(1, sizeof(*s));

	(void)h;
	(void)arg;
	assert_non_null(s);
	arena_init(&s->arena, 0);
	h2_stream_init(&s->h2, &s->arena);
	list_push(&srv.streams, &s->link);
	srv.begun++;
	srv.last = &s->h2;
	return &s->h2;
}

static void respond(struct h2_stream *s, const char *status, const char *name, const char *value,
		    bool end)
{
	struct http_fields f = {0};
	struct err e = ERR_INIT;

	assert_int_equal(http_fields_add(&f, s->arena, STR(":status"), str_from(status)), 0);
	if (name)
		assert_int_equal(http_fields_add(&f, s->arena, str_from(name), str_from(value)), 0);
	if (status[0] == '1')
		assert_int_equal(h2_interim(srv.h2, s, &f, &e), 0);
	else
		assert_int_equal(h2_respond(srv.h2, s, &f, end, &e), 0);
	loop_defer(srv.loop, &srv.flush);
}

static void finish(struct h2_stream *s)
{
	struct http_fields f = {0};
	struct err e = ERR_INIT;

	assert_int_equal(http_fields_add(&f, s->arena, STR("grpc-status"), STR("0")), 0);
	assert_int_equal(h2_trailers(srv.h2, s, &f, &e), 0);
	loop_defer(srv.loop, &srv.flush);
}

static void send_big(struct h2_stream *s)
{
	static char big[BIG];
	struct err e = ERR_INIT;
	bool room;

	respond(s, "200", NULL, NULL, false);
	assert_int_equal(h2_write(srv.h2, s, (struct str){big, BIG}, true, &room, &e), 0);
}

static void many_interims(struct h2_stream *s)
{
	for (int i = 0; i < 20; i++)
		respond(s, "103", "link", "</a>", false);
}

static void many_fields(struct h2_stream *s)
{
	struct http_fields f = {0};
	struct err e = ERR_INIT;

	assert_int_equal(http_fields_add(&f, s->arena, STR(":status"), STR("200")), 0);
	for (int i = 0; i < 250; i++)
		assert_int_equal(http_fields_add(&f, s->arena, STR("x-many"), STR("a")), 0);
	assert_int_equal(h2_respond(srv.h2, s, &f, true, &e), 0);
}

static void note_fields(const struct h2_stream *s)
{
	size_t used = 0;

	srv.fields[0] = '\0';
	for (size_t i = 0; i < s->fields.count; i++)
		used += (size_t)snprintf(
			srv.fields + used, sizeof(srv.fields) - used, "%.*s=%.*s;",
			(int)s->fields.items[i].name.len, s->fields.items[i].name.ptr,
			(int)s->fields.items[i].value.len, s->fields.items[i].value.ptr);
}

static void srv_head(struct h2 *h, struct h2_stream *s, void *arg)
{
	struct str p = s->path;

	(void)arg;
	note_fields(s);
	if (str_eq(p, STR("/echo"))) {
		served_of(s)->echoes = true;
		respond(s, "200", "x-a", "b", false);
	} else if (str_eq(p, STR("/trailers-only"))) {
		respond(s, "200", "grpc-status", "12", true);
	} else if (str_eq(p, STR("/interim"))) {
		respond(s, "100", NULL, NULL, false);
		respond(s, "103", "link", "</a>", false);
		respond(s, "204", NULL, NULL, true);
	} else if (str_eq(p, STR("/interims"))) {
		many_interims(s);
	} else if (str_eq(p, STR("/refuse"))) {
		h2_reset(h, s, NGHTTP2_REFUSED_STREAM);
	} else if (str_eq(p, STR("/reset"))) {
		h2_reset(h, s, NGHTTP2_INTERNAL_ERROR);
	} else if (str_eq(p, STR("/reset-after"))) {
		respond(s, "200", NULL, NULL, false);
	} else if (str_eq(p, STR("/connection-field"))) {
		respond(s, "200", "connection", "close", true);
	} else if (str_eq(p, STR("/fields"))) {
		many_fields(s);
	} else if (str_eq(p, STR("/big"))) {
		send_big(s);
	} else if (str_eq(p, STR("/close"))) {
		conn_close(srv.conn);
	}
}

static void srv_data(struct h2 *h, struct h2_stream *s, struct str bytes, void *arg)
{
	struct err e = ERR_INIT;
	bool room;

	(void)arg;
	served_of(s)->got += bytes.len;
	if (str_eq(s->path, STR("/slow")))
		return;
	h2_consumed(h, s, bytes.len);
	if (served_of(s)->echoes)
		assert_int_equal(h2_write(h, s, bytes, false, &room, &e), 0);
	loop_defer(srv.loop, &srv.flush);
}

static void srv_end(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)arg;
	if (served_of(s)->echoes)
		finish(s);
	if (s->trailers.count)
		note_fields(&(struct h2_stream){.fields = s->trailers});
}

static void srv_drain(struct h2 *h, struct h2_stream *s, void *arg)
{
	(void)h;
	(void)s;
	(void)arg;
}

static void served_free(struct served *s)
{
	list_remove(&s->link);
	if (srv.last == &s->h2)
		srv.last = NULL;
	h2_stream_deinit(&s->h2);
	arena_deinit(&s->arena);
	free(s);
}

static void srv_stream_close(struct h2 *h, struct h2_stream *s, uint32_t code, void *arg)
{
	(void)h;
	(void)arg;
	srv.last_reset = code;
	srv.closed_streams++;
	served_free(served_of(s));
}

static const struct h2_events srv_events = {
	.on_begin = srv_begin,
	.on_head = srv_head,
	.on_data = srv_data,
	.on_end = srv_end,
	.on_drain = srv_drain,
	.on_close = srv_stream_close,
};

static void srv_open(struct conn *c, void *arg)
{
	const struct h2_options o = {
		.server = true, .streams = srv.streams_max, .events = &srv_events, .head = 1 << 17};
	struct err e = ERR_INIT;

	(void)arg;
	srv.connections++;
	if (srv.conn)
		conn_close(srv.conn);
	srv.conn = c;
	h2_free(srv.h2);
	list_for_each_safe(it, &srv.streams) served_free(container_of(it, struct served, link));
	assert_int_equal(h2_create(&srv.h2, &o, 0, &e), 0);
	conn_read_start(c);
	loop_defer(srv.loop, &srv.flush);
}

static void srv_input(struct conn *c, struct str bytes, void *arg)
{
	struct err e = ERR_INIT;

	(void)arg;
	if (c != srv.conn)
		return;
	oom_pause();
	(void)!h2_feed(srv.h2, bytes, 0, &e);
	oom_go_on();
	loop_defer(srv.loop, &srv.flush);
}

static void srv_close(struct conn *c, const struct err *why, void *arg)
{
	(void)why;
	(void)arg;
	if (c == srv.conn)
		srv.conn = NULL;
}

static const struct conn_events srv_conn_events = {srv_open, srv_input, NULL,
						   NULL,     srv_close, NULL};

static int srv_accept(struct listener *l, struct conn_options *o, void *arg)
{
	(void)l;
	(void)arg;
	*o = (struct conn_options){
		.events = &srv_conn_events, .tls = srv.tls, .write_high = 16 << 20};
	return 0;
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *len,
		     const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char mine[] = "\x02h2";

	(void)ssl;
	(void)arg;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, len, mine, 3, in, in_len) ==
			       OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_NOACK;
}

/* --- the client --- */

struct bed bed;

static void on_ready(struct upstream_call *c, bool reused, void *arg)
{
	struct asked *a = arg;

	(void)c;
	(void)reused;
	a->readies++;
}

static void on_interim(struct upstream_call *c, unsigned status, const struct http_fields *fields,
		       void *arg)
{
	struct asked *a = arg;

	(void)c;
	a->interims++;
	if (status == 103)
		assert_true(str_eq(http_fields_get(fields, STR("link")), STR("</a>")));
}

static void on_switch(struct upstream_call *c, const struct http_response *r, void *arg)
{
	(void)c;
	(void)r;
	(void)arg;
	fail();
}

static void on_head(struct upstream_call *c, const struct http_response *r, bool end, void *arg)
{
	struct asked *a = arg;

	a->heads++;
	a->status = r->status;
	a->end_with_head = end;
	if (a->close_in_head) {
		upstream_call_close(c);
		a->call = NULL;
	}
}

static void on_body(struct upstream_call *c, struct str bytes, void *arg)
{
	struct asked *a = arg;

	(void)!buf_add_str(&a->body, bytes, NULL);
	if (!a->keeps)
		upstream_call_consumed(c, bytes.len);
}

static void on_drain(struct upstream_call *c, void *arg)
{
	(void)c;
	((struct asked *)arg)->drains++;
}

static void on_end(struct upstream_call *c, const struct upstream_end *end,
		   const struct http_fields *trailers, void *arg)
{
	struct asked *a = arg;

	assert_ptr_equal(c, a->call);
	a->call = NULL;
	a->ends++;
	a->end = *end;
	if (trailers->count)
		snprintf(a->trailer, sizeof(a->trailer), "%.*s=%.*s",
			 (int)trailers->items[0].name.len, trailers->items[0].name.ptr,
			 (int)trailers->items[0].value.len, trailers->items[0].value.ptr);
}

static const struct upstream_call_events call_events = {
	.on_ready = on_ready,
	.on_interim = on_interim,
	.on_switch = on_switch,
	.on_head = on_head,
	.on_body = on_body,
	.on_drain = on_drain,
	.on_end = on_end,
};

void open_tls(bool server_speaks_h2)
{
	static const unsigned char h2[] = "\x02h2";

	testca_init(&bed.ca, "test CA");
	srv.tls = testcert_server(&bed.ca, "DNS:localhost", NULL);
	if (server_speaks_h2)
		SSL_CTX_set_alpn_select_cb(srv.tls, choose_h2, NULL);
	bed.tls.ctx = testcert_client(&bed.ca, NULL);
	bed.tls.name = "localhost";
	bed.tls.refs = 100;
	list_init(&bed.tls.idle);
	assert_int_equal(SSL_CTX_set_alpn_protos(bed.tls.ctx, h2, 3), 0);
	bed.o.endpoint.tls = &bed.tls;
}

void open_bed(unsigned streams_max)
{
	struct listener_options lo = {.on_accept = srv_accept};
	struct upstream_pool_options po = {.max_idle = 4, .idle_ms = 60000};
	struct err e = ERR_INIT;

	memset(&bed, 0, sizeof(bed));
	memset(&srv, 0, sizeof(srv));
	fixture_init(&bed.f);
	srv.loop = &bed.f.loop;
	srv.streams_max = streams_max;
	list_init(&srv.streams);
	deferred_init(&srv.flush, srv_flush);
	assert_int_equal(addr_parse(&lo.entry.addr, STR("127.0.0.1:0"), &e), 0);
	assert_int_equal(listener_start(&srv.listener, &bed.f.loop, &lo, &e), 0);
	po.loop = &bed.f.loop;
	assert_int_equal(upstream_pool_create(&bed.pool, &po, &e), 0);
	bed.o = (struct upstream_call_options){
		.endpoint = {.addr = *listener_addr(srv.listener), .protocol = ENDPOINT_HTTP2},
		.connect_ms = 10000,
		.write_ms = 10000,
		.read_ms = 10000,
		.events = &call_events,
	};
}

void close_bed(void)
{
	for (size_t i = 0; i < bed.count; i++) {
		upstream_call_close(bed.asked[i].call);
		buf_deinit(&bed.asked[i].body);
	}
	upstream_pool_free(bed.pool);
	if (srv.conn)
		conn_close(srv.conn);
	listener_close(srv.listener, NULL, NULL);
	deferred_cancel(&srv.flush);
	fixture_deinit(&bed.f);
	for (size_t i = 0; i < bed.count; i++)
		arena_deinit(&bed.asked[i].arena);
	list_for_each_safe(it, &srv.streams) served_free(container_of(it, struct served, link));
	h2_free(srv.h2);
	SSL_CTX_free(srv.tls);
	SSL_CTX_free(bed.tls.ctx);
	if (bed.ca.key)
		testca_deinit(&bed.ca);
}

struct asked *start(const char *path)
{
	struct asked *a = &bed.asked[bed.count++];
	struct upstream_call_options o = bed.o;
	struct err e = ERR_INIT;

	assert_true(bed.count <= CALLS);
	arena_init(&a->arena, 0);
	a->bed = &bed;
	a->path = path;
	a->request = (struct http_request){
		.method = STR("POST"),
		.target = str_from(path),
		.authority = STR("a.example:80"),
		.content_length = -1,
	};
	o.arena = &a->arena;
	o.arg = a;
	assert_int_equal(upstream_call_start(&a->call, bed.pool, &o, &e), 0);
	return a;
}

void add_field(struct asked *a, const char *name, const char *value)
{
	assert_int_equal(
		http_fields_add(&a->request.fields, &a->arena, str_from(name), str_from(value)), 0);
}

void send_it(struct asked *a, bool end)
{
	run_until(&bed.f, a->readies || a->ends);
	if (a->call)
		upstream_call_send_head(a->call, &a->request, STR_NONE, true, end);
}

struct asked *ask(const char *path, bool end)
{
	struct asked *a = start(path);

	send_it(a, end);
	return a;
}
