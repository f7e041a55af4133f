/* Happy path: the host's addresses; the first that is allowed is connected to; the request is
 * written whole; the answer's head must be a 200; its content is gathered; done.
 * Failure paths: no allowed address, no connection, malformed or cut answer, another status, too
 * large, too slow: the connection is closed and, when that is done, done is told why. */
#include "data-plane/plugins/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/sm.h"
#include "common/http/h1_parse.h"
#include "common/http/h1_write.h"
#include "common/net/addr_public.h"
#include "common/net/conn.h"

/* --- URLs --- */

static int check_bytes(struct str url, struct err *e)
{
	if (url.len >= FETCH_URL_MAX)
		return err_set(e, ERR_LIMIT, "URL refused: longer than %d bytes",
			       FETCH_URL_MAX - 1);
	for (size_t i = 0; i < url.len; i++) {
		unsigned char c = (unsigned char)url.ptr[i];

		if (c <= ' ' || c >= 0x7F || strchr("\"<>\\^`{|}#", c))
			return err_set(e, ERR_DENIED, "URL refused: byte 0x%02x at offset %zu", c,
				       i);
	}
	return 0;
}

static int parse_scheme(struct fetch_url *u, struct str *rest, struct err *e)
{
	const struct str plain = STR("http://"), tls = STR("https://");

	u->tls = str_ieq(str_sub(*rest, 0, tls.len), tls);
	if (!u->tls && !str_ieq(str_sub(*rest, 0, plain.len), plain))
		return err_set(e, ERR_DENIED, "URL refused: neither http nor https");
	*rest = str_sub(*rest, u->tls ? tls.len : plain.len, rest->len);
	return 0;
}

static int parse_authority(struct fetch_url *u, struct err *e)
{
	struct str host, a = u->authority;
	bool brackets = a.len > 0 && a.ptr[0] == '[';
	size_t end = str_find(a, brackets ? ']' : ':', 0);
	uint64_t number = u->tls ? 443 : 80;

	if (str_find(a, '@', 0) < a.len)
		return err_set(e, ERR_DENIED, "URL refused: it carries user information");
	host = str_sub(a, brackets ? 1 : 0, end);
	if (brackets)
		end++;
	if (host.len == 0 || host.len >= sizeof(u->host) || end > a.len)
		return err_set(e, ERR_DENIED, "URL refused: it has no usable host");
	if (end < a.len) {
		struct str port = str_sub(a, end + 1, a.len);

		if (a.ptr[end] != ':' || port.len > 5 || str_u64(port, &number) < 0 ||
		    number == 0 || number > UINT16_MAX)
			return err_set(e, ERR_DENIED, "URL refused: bad port");
	}
	memcpy(u->host, host.ptr, host.len);
	u->host[host.len] = '\0';
	u->port = (uint16_t)number;
	return 0;
}

static bool literal(const char *host, struct addr *out)
{
	return uv_ip4_addr(host, 0, &out->u.in4) == 0 || uv_ip6_addr(host, 0, &out->u.in6) == 0;
}

static int check_public(const struct fetch_url *u, struct err *e)
{
	struct str host = str_from(u->host);
	struct addr a = {0};

	if (u->port != 80 && u->port != 443)
		return err_set(e, ERR_DENIED,
			       "URL refused: port %u (allowed by revocation_allow_private)",
			       u->port);
	if (str_ieq(host, STR("localhost")) ||
	    (host.len > 10 && str_ieq(str_sub(host, host.len - 10, host.len), STR(".localhost"))) ||
	    (literal(u->host, &a) && !addr_is_public(&a.u.sa)))
		return err_set(e, ERR_DENIED,
			       "URL refused: %s is not public (allowed by "
			       "revocation_allow_private)",
			       u->host);
	return 0;
}

int fetch_url_parse(struct fetch_url *out, struct str url, bool allow_private, struct err *e)
{
	struct fetch_url u = {0};
	struct str rest = url;
	size_t end = 0;

	if (check_bytes(url, e) < 0 || parse_scheme(&u, &rest, e) < 0)
		return -1;
	while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
		end++;
	u.authority = str_sub(rest, 0, end);
	u.target = str_sub(rest, end, rest.len);
	if (u.target.len > 0 && u.target.ptr[0] == '?')
		return err_set(e, ERR_DENIED, "URL refused: it has no path");
	if (parse_authority(&u, e) < 0 || (!allow_private && check_public(&u, e) < 0))
		return -1;
	*out = u;
	return 0;
}

/* --- the request --- */

enum fetch_state { FETCH_RESOLVING, FETCH_CONNECTING, FETCH_READING, FETCH_ENDED, FETCH_STATES };

static const struct sm_state fetch_states[FETCH_STATES] = {
	[FETCH_RESOLVING] = {"resolving", SM_TO(FETCH_CONNECTING) | SM_TO(FETCH_ENDED)},
	[FETCH_CONNECTING] = {"connecting", SM_TO(FETCH_READING) | SM_TO(FETCH_ENDED)},
	[FETCH_READING] = {"reading", SM_TO(FETCH_ENDED)},
	[FETCH_ENDED] = {"ended", 0},
};
static const struct sm fetch_sm = {"fetch", fetch_states, FETCH_STATES};

/* owner: its starter until done or cancelled, thread: the loop's. */
struct fetch {
	struct loop *loop;
	enum fetch_state state;
	char *text; /* of the URL */
	struct fetch_url url;
	SSL_CTX *tls;
	bool allow_private;
	bool by_proxy;
	char peer[FETCH_HOST_SIZE]; /* the host, or the proxy */
	uint16_t peer_port;
	struct buf request;
	struct timer timer;
	uv_getaddrinfo_t resolve;
	struct conn *conn;
	struct h1_parser parser;
	bool parsing; /* parser was initialised */
	struct arena arena;
	struct http_response response;
	struct buf body;
	struct err why;
	bool resolving, timer_open;
	void (*done)(struct str body, const struct err *why, void *arg);
	void *arg;
	void (*gone)(void *arg);
	void *gone_arg;
};

static void fetch_move(struct fetch *f, enum fetch_state to)
{
	f->state = (enum fetch_state)sm_move(&fetch_sm, f->state, to, f->url.host);
}

static void fetch_free(struct fetch *f)
{
	if (f->parsing)
		h1_parser_deinit(&f->parser);
	buf_deinit(&f->request);
	buf_deinit(&f->body);
	arena_deinit(&f->arena);
	SSL_CTX_free(f->tls);
	free(f->text);
	free(f);
}

/* When nothing on the loop refers to it any more. */
static void settle(struct fetch *f)
{
	if (f->state != FETCH_ENDED || f->conn || f->resolving || f->timer_open)
		return;
	if (f->done)
		f->done(buf_str(&f->body), f->why.kind == ERR_NONE ? NULL : &f->why, f->arg);
	if (f->gone)
		f->gone(f->gone_arg);
	fetch_free(f);
}

static void on_timer_closed(struct timer *t)
{
	struct fetch *f = container_of(t, struct fetch, timer);

	f->timer_open = false;
	settle(f);
}

/* Nothing but what is left on the loop keeps it then; done follows, never from in here. */
static void end(struct fetch *f)
{
	if (f->state == FETCH_ENDED)
		return;
	fetch_move(f, FETCH_ENDED);
	timer_close(&f->timer, on_timer_closed);
	if (f->resolving)
		(void)uv_cancel((uv_req_t *)&f->resolve);
	if (f->conn)
		conn_close(f->conn);
}

static void fail(struct fetch *f, enum err_kind kind, const char *reason)
{
	if (f->state == FETCH_ENDED)
		return;
	err_set(&f->why, kind, "%s: %s", f->text, reason);
	end(f);
}

static void on_timer(struct timer *t)
{
	fail(container_of(t, struct fetch, timer), ERR_TIMEOUT, "no answer in time");
}

/* --- the connection --- */

static void take(struct fetch *f, struct str bytes)
{
	while (f->state == FETCH_READING) {
		struct str piece;

		switch (h1_parse(&f->parser, &bytes, &piece)) {
		case H1_MORE:
			return;
		case H1_HEAD:
			if (f->response.status >= 200 && f->response.status != 200)
				fail(f, ERR_UNAVAILABLE, "the answer's status is not 200");
			break;
		case H1_BODY:
			if (buf_add_str(&f->body, piece, NULL) < 0)
				fail(f, ERR_LIMIT, "the answer is too large");
			break;
		case H1_END:
			if (f->response.status >= 200)
				end(f);
			else
				fail(f, ERR_UNAVAILABLE, "an answer of no use");
			break;
		case H1_ERROR:
			fail(f, ERR_UNAVAILABLE, "a malformed answer");
			break;
		}
	}
}

static void on_open(struct conn *c, void *arg)
{
	struct fetch *f = arg;

	fetch_move(f, FETCH_READING);
	conn_write(c, buf_str(&f->request));
	conn_read_start(c);
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	(void)c;
	take(arg, bytes);
}

static void on_eof(struct conn *c, void *arg)
{
	struct fetch *f = arg;

	(void)c;
	if (f->state != FETCH_READING)
		return;
	if (h1_parse_end(&f->parser) == H1_END && f->response.status == 200)
		end(f);
	else
		fail(f, ERR_UNAVAILABLE, "the answer is cut short");
}

static void on_close(struct conn *c, const struct err *why, void *arg)
{
	struct fetch *f = arg;

	(void)c;
	f->conn = NULL;
	fail(f, ERR_UNAVAILABLE, why->kind == ERR_NONE ? "the connection ended" : why->message);
	settle(f);
}

static const struct conn_events events = {
	.on_open = on_open, .on_data = on_data, .on_eof = on_eof, .on_close = on_close};

/* to: the address that was judged, so that no second look-up can bring another. */
static void dial(struct fetch *f, const struct sockaddr *to)
{
	struct addr a = {0};
	char ip[ADDR_TEXT_SIZE];
	struct err e = ERR_INIT;
	const struct conn_options o = {
		.events = &events,
		.arg = f,
		.tls = f->url.tls ? f->tls : NULL,
		.server_name = f->url.tls ? f->url.host : NULL,
	};

	memcpy(&a.u, to,
	       to->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					 : sizeof(struct sockaddr_in));
	addr_ip_text(&a, ip, sizeof(ip));
	fetch_move(f, FETCH_CONNECTING);
	if (conn_connect(&f->conn, f->loop, ip, f->peer_port, &o, &e) < 0) {
		f->conn = NULL;
		fail(f, e.kind, e.message);
	}
}

static bool allowed(const struct fetch *f, const struct sockaddr *sa)
{
	return f->allow_private || f->by_proxy || addr_is_public(sa);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct fetch *f = container_of(req, struct fetch, resolve);
	const struct addrinfo *a = list;

	f->resolving = false;
	if (f->state == FETCH_RESOLVING) {
		while (a && !allowed(f, a->ai_addr))
			a = a->ai_next;
		if (status < 0 || !list)
			fail(f, ERR_UNAVAILABLE, "its host has no address");
		else if (!a)
			fail(f, ERR_DENIED, "its host's addresses are not public");
		else
			dial(f, a->ai_addr);
	}
	uv_freeaddrinfo(list);
	settle(f);
}

static int write_request(struct fetch *f, const struct fetch_options *o, struct err *e)
{
	struct h1_writer w = {0};
	struct http_request r = {
		.version = HTTP_11,
		.method = o->body.ptr ? STR("POST") : STR("GET"),
		.target = f->by_proxy	      ? str_from(f->text)
			  : f->url.target.len ? f->url.target
					      : STR("/"),
		.authority = f->url.authority,
		.content_length = o->body.ptr ? (int64_t)o->body.len : -1,
		.has_body = o->body.ptr != NULL,
	};

	if (o->content_type.ptr &&
	    http_fields_add(&r.fields, &f->arena, STR("content-type"), o->content_type) < 0)
		return err_memory(e, "a request");
	if (h1_write_request(&w, &f->request, &r, &(struct h1_request_options){.close = true}, e) <
	    0)
		return -1;
	return o->body.ptr ? h1_write_body(&w, &f->request, o->body, true, e) : 0;
}

/* Resolving goes on in a later turn, also for addresses. */
static int start(struct fetch *f, const struct fetch_options *o, struct err *e)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	int rc;

	if (write_request(f, o, e) < 0)
		return -1;
	h1_parser_init(&f->parser, NULL, f->url.tls ? STR("https") : STR("http"));
	f->parsing = true;
	h1_parser_start_response(&f->parser, &f->arena, &f->response,
				 o->body.ptr ? STR("POST") : STR("GET"));
	rc = uv_getaddrinfo(&f->loop->uv, &f->resolve, on_resolved, f->peer, NULL, &hints);
	if (rc < 0)
		return err_errno(e, ERR_UNAVAILABLE, -rc, "looking up %s", f->peer);
	f->resolving = true;
	return 0;
}

static int set_peer(struct fetch *f, const struct fetch_options *o, struct err *e)
{
	size_t len;

	f->by_proxy = o->proxy_host && !f->url.tls;
	len = strlen(f->by_proxy ? o->proxy_host : f->url.host);
	if (len >= sizeof(f->peer))
		return err_set(e, ERR_INVALID, "a proxy's name has %zu bytes", len);
	memcpy(f->peer, f->by_proxy ? o->proxy_host : f->url.host, len + 1);
	f->peer_port = f->by_proxy ? o->proxy_port : f->url.port;
	if (f->url.tls && !o->tls)
		return err_set(e, ERR_DENIED, "URL refused: https");
	if (f->url.tls) {
		SSL_CTX_up_ref(o->tls);
		f->tls = o->tls;
	}
	return 0;
}

int fetch_start(struct fetch **out, struct loop *l, const struct fetch_options *o, struct err *e)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (!f)
		return err_memory(e, "a fetch");
	f->loop = l;
	f->text = str_dup(o->url);
	f->allow_private = o->allow_private;
	f->done = o->done;
	f->arg = o->arg;
	buf_init(&f->body, o->max_bytes);
	arena_init(&f->arena, 0);
	if (!f->text) {
		fetch_free(f);
		return err_memory(e, "a fetch");
	}
	if (fetch_url_parse(&f->url, (struct str){f->text, o->url.len}, o->allow_private, e) < 0 ||
	    set_peer(f, o, e) < 0 || start(f, o, e) < 0) {
		fetch_free(f);
		return -1;
	}
	timer_init(&f->timer, l, on_timer);
	f->timer_open = true;
	timer_start(&f->timer, o->timeout_ms, 0);
	*out = f;
	return 0;
}

void fetch_cancel(struct fetch *f, void (*gone)(void *arg), void *arg)
{
	f->done = NULL;
	f->gone = gone;
	f->gone_arg = arg;
	end(f);
}
