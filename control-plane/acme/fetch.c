/* libcurl's multi interface on libuv (socket actions).
 *
 * Happy path: fetch_start adds an easy handle; libcurl asks for sockets to be watched (on_socket)
 * and for a timer (on_timer); readiness goes to curl_multi_socket_action; finished transfers are
 * collected by `reap`, which calls back outside of libcurl.
 * Failure paths:
 * - refused URL or address: ERR_DENIED, from the gate or from open_socket;
 * - more than body_max bytes, or than HEADERS_MAX of header lines: the callback stops libcurl;
 * - cancel: the handle is taken out, nothing is called;
 * - close: as cancel for all, then every poll and timer handle is closed and counted down.
 */
#include "control-plane/acme/fetch.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <unistd.h>

#include "common/core/clock.h"
#include "common/core/list.h"
#include "common/net/addr.h"
#include "common/net/addr_public.h"
#include "control-plane/acme/backoff.h"
#include "control-plane/acme/url.h"

enum { HEADERS_MAX = 64 << 10, LINKS_MAX = 16 };
enum { CONNECTIONS_MAX = 16 }; /* kept open */

struct fetcher {
	struct loop *loop;
	CURLM *multi;
	struct timer timer;
	struct link fetches;
	struct fetcher_conf conf;
	char *ca_file, *ca_pem;
	struct curl_slist *connect_to;
	char from[ADDR_TEXT_SIZE + 8]; /* as CURLOPT_INTERFACE takes an address; "": any */
	long resolve;		       /* CURL_IPRESOLVE_... */
	unsigned handles_open;	       /* polls and the timer */
	bool closing;
	void (*closed)(void *arg);
	void *closed_arg;
};

struct fetch {
	struct link link; /* on fetcher.fetches */
	struct fetcher *fetcher;
	CURL *easy;
	struct curl_slist *headers;
	struct buf request_body;
	struct buf body;
	struct buf links;
	size_t header_bytes;
	bool refused; /* its address did not pass the gate */
	bool too_long;
	char error[CURL_ERROR_SIZE];
	fetch_done done;
	void *arg;
};

/* One watched socket. */
struct watch {
	uv_poll_t uv;
	struct fetcher *fetcher;
	curl_socket_t fd;
};

static void reap(struct fetcher *f);

/* --- the loop's side --- */

static void on_ready(uv_poll_t *uv, int status, int events)
{
	struct watch *w = container_of(uv, struct watch, uv);
	struct fetcher *f = w->fetcher;
	int flags = 0, running = 0;

	if (status < 0)
		flags = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	/* May close this watch; its memory lives until on_watch_closed. */
	curl_multi_socket_action(f->multi, w->fd, flags, &running);
	reap(f);
}

static void fetcher_free(struct fetcher *f)
{
	curl_slist_free_all(f->connect_to);
	free(f->ca_file);
	free(f->ca_pem);
	free(f);
}

static void handle_closed(struct fetcher *f)
{
	if (--f->handles_open > 0)
		return;
	if (f->closed)
		f->closed(f->closed_arg);
	fetcher_free(f);
}

static void on_watch_closed(uv_handle_t *uv)
{
	struct watch *w = container_of((uv_poll_t *)(void *)uv, struct watch, uv);
	struct fetcher *f = w->fetcher;

	free(w);
	handle_closed(f);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct fetcher *f = arg;
	struct watch *w = socket_arg;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (!w)
			return 0;
		curl_multi_assign(f->multi, fd, NULL);
		uv_poll_stop(&w->uv);
		uv_close((uv_handle_t *)&w->uv, on_watch_closed);
		return 0;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w)
			return -1;
		w->fetcher = f;
		w->fd = fd;
		if (uv_poll_init_socket(&f->loop->uv, &w->uv, fd) != 0) {
			free(w);
			return -1;
		}
		f->handles_open++;
		curl_multi_assign(f->multi, fd, w);
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= UV_READABLE;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= UV_WRITABLE;
	return uv_poll_start(&w->uv, events, on_ready) == 0 ? 0 : -1;
}

static void on_timer_fire(struct timer *t)
{
	struct fetcher *f = container_of(t, struct fetcher, timer);
	int running = 0;
	long ms = -1;

	curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(f);
	/* The loop's clock may be a little ahead of libcurl's, which then did nothing and, as its
	 * deadline is the same as before, does not ask for a timer again. */
	if (!f->closing && !timer_active(t) && curl_multi_timeout(f->multi, &ms) == CURLM_OK &&
	    ms >= 0)
		timer_start(t, ms > 0 ? (uint64_t)ms : 1, 0);
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct fetcher *f = arg;

	(void)multi;
	if (f->closing)
		return 0;
	if (ms < 0)
		timer_stop(&f->timer);
	else
		timer_start(&f->timer, (uint64_t)ms, 0);
	return 0;
}

static int set_from(struct fetcher *f, const char *from, struct err *e)
{
	struct addr a;

	f->resolve = CURL_IPRESOLVE_WHATEVER;
	if (!from || !from[0])
		return 0;
	if (addr_parse_ip(&a, str_from(from)) != 0)
		return err_set(e, ERR_INVALID, "\"%.64s\" is no IP address", from);
	f->resolve = a.u.sa.sa_family == AF_INET ? CURL_IPRESOLVE_V4 : CURL_IPRESOLVE_V6;
	snprintf(f->from, sizeof(f->from), "host!%s", from);
	return 0;
}

static int check_bundle(const char *file, struct err *e)
{
	if (!file || access(file, R_OK) == 0)
		return 0;
	return err_set(e, ERR_INVALID, "cannot read the CA bundle %s", file);
}

int fetcher_create(struct fetcher **out, struct loop *l, const struct fetcher_conf *c,
		   struct err *e)
{
	struct fetcher *f = calloc(1, sizeof(*f));

	if (!f)
		return err_memory(e, "HTTPS client");
	f->loop = l;
	f->conf = *c;
	f->ca_file = c->ca_file ? str_dup(str_from(c->ca_file)) : NULL;
	f->ca_pem = c->ca_pem ? str_dup(str_from(c->ca_pem)) : NULL;
	list_init(&f->fetches);
	f->connect_to = c->connect_to ? curl_slist_append(NULL, c->connect_to) : NULL;
	if ((c->ca_file && !f->ca_file) || (c->ca_pem && !f->ca_pem) ||
	    (c->connect_to && !f->connect_to) || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		goto fail;
	if (set_from(f, c->from, e) != 0 || check_bundle(c->ca_file, e) != 0) {
		fetcher_free(f);
		return -1;
	}
	f->multi = curl_multi_init();
	if (!f->multi)
		goto fail;
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	curl_multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX);
	timer_init(&f->timer, l, on_timer_fire);
	f->handles_open = 1;
	*out = f;
	return 0;
fail:
	fetcher_free(f);
	return err_memory(e, "HTTPS client");
}

static void on_timer_closed(struct timer *t)
{
	handle_closed(container_of(t, struct fetcher, timer));
}

void fetcher_close(struct fetcher *f, void (*closed)(void *arg), void *arg)
{
	f->closing = true;
	f->closed = closed;
	f->closed_arg = arg;
	list_for_each_safe(it, &f->fetches) fetch_cancel(container_of(it, struct fetch, link));
	curl_multi_cleanup(f->multi);
	timer_close(&f->timer, on_timer_closed);
}

/* --- one exchange --- */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct fetch *x = arg;

	if (buf_add(&x->body, data, size * n, NULL) != 0) {
		x->too_long = true;
		return 0;
	}
	return size * n;
}

/* Only counts: the lines that matter are asked for at the end. */
static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct fetch *x = arg;

	(void)data;
	x->header_bytes += size * n;
	if (x->header_bytes > HEADERS_MAX) {
		x->too_long = true;
		return 0;
	}
	return size * n;
}

/* The last word about an address: after the resolver, before connect. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct fetch *x = arg;

	(void)purpose;
	if (!x->fetcher->conf.own && !x->fetcher->conf.allow_private && !addr_is_public(&a->addr)) {
		x->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static struct str header(CURL *easy, const char *name)
{
	struct curl_header *h = NULL;

	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return STR_NONE;
	return str_from(h->value);
}

/* What does not fit into memory is not there. */
static struct str links(struct fetch *x)
{
	struct curl_header *h = NULL;

	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (curl_easy_header(x->easy, "Link", i, CURLH_HEADER, -1, &h) != CURLHE_OK ||
		    buf_addf(&x->links, NULL, "%s%s", i ? ", " : "", h->value) != 0)
			break;
	}
	return buf_str(&x->links);
}

static void free_fetch(struct fetch *x)
{
	buf_deinit(&x->links);

	list_remove(&x->link);
	curl_easy_cleanup(x->easy);
	if (x->fetcher->conf.secret)
		for (struct curl_slist *h = x->headers; h; h = h->next)
			OPENSSL_cleanse(h->data, strlen(h->data));
	curl_slist_free_all(x->headers);
	buf_deinit(&x->request_body);
	buf_deinit(&x->body);
	free(x);
}

static void describe_failure(const struct fetch *x, CURLcode code, struct err *e)
{
	const char *text = x->error[0] ? x->error : curl_easy_strerror(code);

	if (x->refused)
		err_set(e, ERR_DENIED, "address refused: it is private or loopback (allowed by %s)",
			x->fetcher->conf.responder ? "ocsp_allow_private" : "acme_allow_private");
	else if (x->too_long)
		err_set(e, ERR_LIMIT,
			"answer too long: more than %zu bytes of body or %d of header",
			x->fetcher->conf.body_max, HEADERS_MAX);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		err_set(e, ERR_TIMEOUT, "%s", text);
	else
		err_set(e, ERR_UNAVAILABLE, "%s", text);
	e->code = (int)code;
}

static void finish(struct fetch *x, CURLcode code)
{
	struct fetch_reply r = {.err = ERR_INIT, .retry_after_ms = RETRY_AFTER_NONE};
	struct str retry;
	long status = 0;

	if (code != CURLE_OK) {
		describe_failure(x, code, &r.err);
	} else {
		curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
		r.status = (unsigned)status;
		r.body = buf_str(&x->body);
		r.nonce = header(x->easy, "Replay-Nonce");
		r.location = header(x->easy, "Location");
		r.links = links(x);
		retry = header(x->easy, "Retry-After");
		/* An unreadable one counts as none. */
		if (retry.ptr &&
		    retry_after_parse(retry, clock_wall_s(), &r.retry_after_ms, NULL) != 0)
			r.retry_after_ms = RETRY_AFTER_NONE;
	}
	/* From here on a close of the fetcher must not find it. */
	list_remove(&x->link);
	curl_multi_remove_handle(x->fetcher->multi, x->easy);
	x->done(&r, x->arg);
	free_fetch(x);
}

static void reap(struct fetcher *f)
{
	CURLMsg *m;
	int left = 0;

	while (!f->closing && (m = curl_multi_info_read(f->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		struct fetch *x = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
		finish(x, code);
	}
}

static int add_line(struct fetch *x, const char *line)
{
	struct curl_slist *list = line ? curl_slist_append(x->headers, line) : x->headers;

	if (line && !list)
		return -1;
	x->headers = list;
	return 0;
}

static int add_header(struct fetch *x, const char *name, const char *value)
{
	char line[256];

	if (!value)
		return 0;
	snprintf(line, sizeof(line), "%s: %s", name, value);
	return add_line(x, line);
}

/* Options that hold for every exchange. */
static void setup_limits(struct fetch *x)
{
	const struct fetcher_conf *c = &x->fetcher->conf;

	curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR,
			 c->own || c->responder ? "http,https" : "https");
	curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(x->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(x->easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
	curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
	curl_easy_setopt(x->easy, CURLOPT_IPRESOLVE, x->fetcher->resolve);
	if (x->fetcher->from[0])
		curl_easy_setopt(x->easy, CURLOPT_INTERFACE, x->fetcher->from);
	curl_easy_setopt(x->easy, CURLOPT_USERAGENT, "cardea/" CARDEA_VERSION " libcurl");
	if (x->fetcher->ca_pem) {
		struct curl_blob blob = {x->fetcher->ca_pem, strlen(x->fetcher->ca_pem),
					 CURL_BLOB_NOCOPY};

		curl_easy_setopt(x->easy, CURLOPT_CAINFO_BLOB, &blob);
		curl_easy_setopt(x->easy, CURLOPT_CAPATH, NULL);
	} else if (x->fetcher->ca_file) {
		curl_easy_setopt(x->easy, CURLOPT_CAINFO, x->fetcher->ca_file);
		curl_easy_setopt(x->easy, CURLOPT_CAPATH, NULL);
	}
	if (c->insecure) {
		curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (x->fetcher->connect_to)
		curl_easy_setopt(x->easy, CURLOPT_CONNECT_TO, x->fetcher->connect_to);
	curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETDATA, x);
	curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->error);
	curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
}

static int setup_request(struct fetch *x, const struct fetch_request *r, struct err *e)
{
	if (add_header(x, "Content-Type", r->content_type) != 0 ||
	    add_header(x, "Accept", r->accept) != 0 || add_header(x, "Host", r->host) != 0 ||
	    add_header(x, "X-Cardea-Signature", r->signature) != 0 || add_line(x, r->line) != 0 ||
	    buf_add_str(&x->request_body, r->body, e) != 0 ||
	    curl_easy_setopt(x->easy, CURLOPT_URL, r->url) != CURLE_OK)
		return err_memory(e, "HTTPS request");
	curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
	if (r->host)
		curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http");
	if (r->method == FETCH_HEAD)
		curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L);
	if (r->method == FETCH_DELETE)
		curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, "DELETE");
	if (r->method != FETCH_POST && r->method != FETCH_PUT)
		return 0;
	curl_easy_setopt(x->easy, CURLOPT_POST, 1L);
	if (r->method == FETCH_PUT)
		curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, "PUT");
	curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, buf_str(&x->request_body).ptr);
	curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE, (long)x->request_body.len);
	return 0;
}

static int gate(const struct fetcher *f, struct str url, struct err *e)
{
	if (f->conf.own)
		return url_gate_own(url, e);
	return f->conf.responder ? url_gate_responder(url, f->conf.allow_private, e)
				 : url_gate(url, f->conf.allow_private, e);
}

int fetch_start(struct fetch **out, struct fetcher *f, const struct fetch_request *r,
		fetch_done done, void *arg, struct err *e)
{
	struct fetch *x;

	if (!r->host && gate(f, str_from(r->url), e) != 0)
		return -1;
	x = calloc(1, sizeof(*x));
	if (!x)
		return err_memory(e, "HTTPS request");
	list_init(&x->link);
	x->fetcher = f;
	x->done = done;
	x->arg = arg;
	x->body.limit = f->conf.body_max;
	x->body.secret = f->conf.secret;
	x->request_body.secret = f->conf.secret;
	x->easy = curl_easy_init();
	if (!x->easy) {
		free_fetch(x);
		return err_memory(e, "HTTPS request");
	}
	setup_limits(x);
	if (setup_request(x, r, e) != 0)
		goto fail;
	if (curl_multi_add_handle(f->multi, x->easy) != CURLM_OK) {
		err_set(e, ERR_INTERNAL, "libcurl refused the request");
		goto fail;
	}
	list_push(&f->fetches, &x->link);
	*out = x;
	return 0;
fail:
	free_fetch(x);
	return -1;
}

void fetch_cancel(struct fetch *x)
{
	if (!x)
		return;
	curl_multi_remove_handle(x->fetcher->multi, x->easy);
	free_fetch(x);
}
