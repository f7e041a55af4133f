#include "data-plane/sync/dns_channel.h"

/* ares_search and its kin work in every version; newer ones would rather have others used. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/list.h"
#include "common/core/log.h"

enum { TRIES = 2, CLASS_IN = 1, TICK_MAX_MS = 1000, SERVERS_SIZE = 1024 };

struct dns_channel {
	struct loop *loop;
	ares_channel ares;
	struct timer timer;
	struct link sockets; /* struct dns_socket */
	struct link early;   /* struct question: answered before the call returned */
	unsigned open;	     /* handles not closed yet */
	bool closing;
};

struct dns_socket {
	uv_poll_t poll;
	struct link link;
	struct dns_channel *channel;
	ares_socket_t fd;
};

struct question {
	struct dns_channel *channel;
	enum dns_type type;
	void (*done)(enum dns_outcome o, const struct dns_answer *a, void *arg);
	void *arg;
	bool asking; /* ares_search has not returned */
	bool early;
	enum dns_outcome outcome;
	struct deferred later;
	struct link link;
	struct dns_answer answer;
};

static void one_closed(struct dns_channel *c)
{
	if (--c->open == 0)
		free(c);
}

/* --- sockets and time --- */

static void set_timer(struct dns_channel *c)
{
	struct timeval tv, *next;
	uint64_t ms;

	if (c->closing)
		return;
	/* Not by the sockets: one that could not be watched is missing there. */
	next = ares_timeout(c->ares, NULL, &tv);
	if (!next) {
		timer_stop(&c->timer);
		return;
	}
	ms = (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000;
	timer_start(&c->timer, (ms < TICK_MAX_MS ? ms : TICK_MAX_MS) + 1, 0);
}

static void on_timer(struct timer *t)
{
	struct dns_channel *c = container_of(t, struct dns_channel, timer);

	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(c);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct dns_socket *s = container_of(p, struct dns_socket, poll);
	struct dns_channel *c = s->channel;
	ares_socket_t fd = s->fd;

	if (status < 0)
		events = UV_READABLE | UV_WRITABLE;
	ares_process_fd(c->ares, events & UV_READABLE ? fd : ARES_SOCKET_BAD,
			events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
	set_timer(c);
}

static void socket_closed(uv_handle_t *h)
{
	struct dns_socket *s = container_of((uv_poll_t *)(void *)h, struct dns_socket, poll);
	struct dns_channel *c = s->channel;

	free(s);
	one_closed(c);
}

static struct dns_socket *find_socket(struct dns_channel *c, ares_socket_t fd)
{
	list_for_each(it, &c->sockets)
	{
		struct dns_socket *s = container_of(it, struct dns_socket, link);

		if (s->fd == fd)
			return s;
	}
	return NULL;
}

static struct dns_socket *add_socket(struct dns_channel *c, ares_socket_t fd)
{
	struct dns_socket *s = calloc(1, sizeof(*s));

	if (!s || uv_poll_init_socket(&c->loop->uv, &s->poll, fd) != 0) {
		/* c-ares takes the silence for a time-out. */
		free(s);
		return NULL;
	}
	s->channel = c;
	s->fd = fd;
	c->open++;
	list_push(&c->sockets, &s->link);
	return s;
}

static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_channel *c = arg;
	struct dns_socket *s = find_socket(c, fd);

	if (!readable && !writable) {
		if (!s)
			return;
		list_remove(&s->link);
		uv_poll_stop(&s->poll);
		uv_close((uv_handle_t *)&s->poll, socket_closed);
		return;
	}
	if (!s)
		s = add_socket(c, fd);
	if (s)
		(void)uv_poll_start(&s->poll,
				    (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
				    on_poll);
}

/* --- questions --- */

static enum dns_outcome outcome_of(struct question *q, int status, const unsigned char *bytes,
				   int len)
{
	struct err e = ERR_INIT;

	switch (status) {
	case ARES_SUCCESS:
		if (len > 0 && dns_answer_parse(&q->answer, q->type, bytes, (size_t)len, &e) == 0)
			return DNS_OK;
		return e.kind == ERR_NOT_FOUND ? DNS_NOTHING : DNS_ERROR;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		return DNS_NOTHING;
	case ARES_EDESTRUCTION:
	case ARES_ECANCELLED:
		return DNS_CANCELLED;
	default:
		return DNS_ERROR;
	}
}

static void finish(struct question *q)
{
	q->done(q->outcome, q->outcome == DNS_OK ? &q->answer : NULL, q->arg);
	free(q);
}

static void on_later(struct deferred *d)
{
	struct question *q = container_of(d, struct question, later);

	list_remove(&q->link);
	finish(q);
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct question *q = arg;

	(void)timeouts;
	q->outcome = outcome_of(q, status, bytes, len);
	if (!q->asking) {
		finish(q);
		return;
	}
	q->early = true;
	list_push(&q->channel->early, &q->link);
	deferred_init(&q->later, on_later);
	loop_defer(q->channel->loop, &q->later);
}

int dns_channel_ask(struct dns_channel *c, const char *name, enum dns_type type,
		    void (*done)(enum dns_outcome o, const struct dns_answer *a, void *arg),
		    void *arg, struct err *e)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return err_memory(e, "asking a DNS server");
	q->channel = c;
	q->type = type;
	q->done = done;
	q->arg = arg;
	q->asking = true;
	list_init(&q->link);
	ares_search(c->ares, name, CLASS_IN, (int)type, on_answer, q);
	/* An early answer waits for its turn: it is still there. */
	q->asking = false;
	set_timer(c);
	return 0;
}

/* --- life --- */

/* c-ares takes ports over 65535, and more. */
static int check_server(struct str s, struct err *e)
{
	struct addr a;

	if (addr_parse_ip(&a, s) == 0 || (addr_parse(&a, s, e) == 0 && addr_port(&a) > 0))
		return 0;
	return err_set(e, ERR_INVALID, "\"%.*s\": use ip or ip:port",
		       (int)(s.len < 60 ? s.len : 60), s.ptr);
}

static int set_servers(ares_channel ares, const char *servers, struct err *e)
{
	char text[SERVERS_SIZE];
	struct str rest = str_from(servers), one;
	size_t n = 0;
	int rc;

	while (rest.len > 0 && str_split(&rest, ',', &one)) {
		one = str_trim(one);
		if (one.len == 0 || check_server(one, e) < 0)
			return one.len > 0 ? -1 : err_set(e, ERR_INVALID, "an address is missing");
		if (n + one.len + 1 >= sizeof(text))
			return err_set(e, ERR_INVALID, "longer than %d bytes", SERVERS_SIZE - 1);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", n ? "," : "",
				      (int)one.len, one.ptr);
	}
	text[n] = '\0';
	rc = ares_set_servers_ports_csv(ares, text);
	return rc == ARES_SUCCESS ? 0 : err_set(e, ERR_INVALID, "%s", ares_strerror(rc));
}

static int failed(int rc, struct err *e)
{
	return err_set(e, rc == ARES_ENOMEM ? ERR_MEMORY : ERR_UNAVAILABLE, "c-ares: %s",
		       ares_strerror(rc));
}

int dns_servers_check(const char *servers, struct err *e)
{
	ares_channel ares;
	int rc = ares_library_init(ARES_LIB_INIT_ALL);

	if (rc != ARES_SUCCESS)
		return failed(rc, e);
	rc = ares_init(&ares);
	if (rc != ARES_SUCCESS) {
		ares_library_cleanup();
		return failed(rc, e);
	}
	rc = set_servers(ares, servers, e);
	ares_destroy(ares);
	ares_library_cleanup();
	return rc;
}

int dns_channel_create(struct dns_channel **out, struct loop *l,
		       const struct dns_channel_options *o, struct err *e)
{
	struct dns_channel *c = calloc(1, sizeof(*c));
	struct ares_options options = {.sock_state_cb = on_socket, .sock_state_cb_data = c};
	int rc;

	if (!c)
		return err_memory(e, "a DNS channel");
	c->loop = l;
	list_init(&c->sockets);
	list_init(&c->early);
	options.timeout = (int)o->timeout_ms;
	options.tries = TRIES;
	rc = ares_library_init(ARES_LIB_INIT_ALL);
	if (rc == ARES_SUCCESS)
		rc = ares_init_options(&c->ares, &options,
				       ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS |
					       ARES_OPT_TRIES);
	if (rc != ARES_SUCCESS) {
		free(c);
		return failed(rc, e);
	}
	if (o->servers && set_servers(c->ares, o->servers, e) < 0) {
		ares_destroy(c->ares);
		free(c);
		return -1;
	}
	c->open = 1;
	timer_init(&c->timer, l, on_timer);
	*out = c;
	return 0;
}

static void timer_closed(struct timer *t)
{
	one_closed(container_of(t, struct dns_channel, timer));
}

void dns_channel_close(struct dns_channel *c)
{
	struct link *l;

	if (!c)
		return;
	c->closing = true;
	ares_destroy(c->ares);
	while ((l = list_pop(&c->early))) {
		struct question *q = container_of(l, struct question, link);

		deferred_cancel(&q->later);
		q->outcome = DNS_CANCELLED;
		finish(q);
	}
	ares_library_cleanup();
	timer_close(&c->timer, timer_closed);
}
