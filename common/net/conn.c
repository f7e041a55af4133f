/* The life of a connection: making, opening, shutting down, closing.
 *
 * Happy path: accept or connect; handshake; on_open; data both ways; conn_shutdown; flush, FIN,
 * linger; close; on_close; free.
 * Failure paths: any error of libuv or OpenSSL and any timeout go through conn_fail, which closes
 * the handles; writes, connects and look-ups under way come back cancelled before on_close.
 */
#include "common/net/conn.h"

#include <stdlib.h>
#include <string.h>

#include "common/net/conn_internal.h"

#define TO_CLOSING SM_TO(CONN_CLOSING)

static const struct sm_state states[] = {
	[CONN_NEW] = {"new", TO_CLOSING | SM_TO(CONN_RESOLVING) | SM_TO(CONN_CONNECTING) |
				     SM_TO(CONN_PROXIED) | SM_TO(CONN_PEEKING) |
				     SM_TO(CONN_OPENING) | SM_TO(CONN_HANDSHAKING)},
	[CONN_RESOLVING] = {"resolving", TO_CLOSING | SM_TO(CONN_CONNECTING)},
	[CONN_CONNECTING] = {"connecting", TO_CLOSING | SM_TO(CONN_REDIALING) |
						   SM_TO(CONN_HANDSHAKING) | SM_TO(CONN_OPEN)},
	[CONN_REDIALING] = {"redialing", TO_CLOSING | SM_TO(CONN_CONNECTING)},
	[CONN_PEEKING] = {"peeking", TO_CLOSING | SM_TO(CONN_OPENING) | SM_TO(CONN_HANDSHAKING)},
	[CONN_OPENING] = {"opening", TO_CLOSING | SM_TO(CONN_OPEN)},
	[CONN_PROXIED] = {"proxied", TO_CLOSING | SM_TO(CONN_PEEKING) | SM_TO(CONN_HANDSHAKING) |
					     SM_TO(CONN_OPEN)},
	[CONN_HANDSHAKING] = {"handshaking", TO_CLOSING | SM_TO(CONN_OPEN) | SM_TO(CONN_FLUSHING)},
	[CONN_OPEN] = {"open", TO_CLOSING | SM_TO(CONN_FLUSHING)},
	[CONN_FLUSHING] = {"flushing", TO_CLOSING | SM_TO(CONN_LINGERING)},
	[CONN_LINGERING] = {"lingering", TO_CLOSING},
	[CONN_CLOSING] = {"closing", 0},
};
static_assert(array_len(states) == CONN_STATES, "a row per state");
static const struct sm machine = {"conn", states, CONN_STATES};

static const struct err no_reason = ERR_INIT;
static const struct err unexplained = {ERR_MEMORY, 0,
				       "the connection failed, and there is no memory to say why"};

/* The first reason counts: a failed handshake that could not send its alert either. */
static void keep_reason(struct conn *c, const struct err *why)
{
	if (c->why || why->kind == ERR_NONE)
		return;
	c->why = malloc(sizeof(*c->why));
	if (c->why)
		*c->why = *why;
	else
		c->unexplained = true;
}

static const struct err *reason_of(const struct conn *c)
{
	if (c->why)
		return c->why;
	return c->unexplained ? &unexplained : &no_reason;
}

void conn_move(struct conn *c, enum conn_state to)
{
	if (c->state == CONN_HANDSHAKING && to != CONN_OPEN && c->on_tls_failed)
		c->on_tls_failed(c, reason_of(c));
	c->state = (enum conn_state)sm_move(&machine, c->state, to, NULL);
}

static void on_due(struct deferred *d)
{
	struct conn *c = container_of(d, struct conn, due);

	if (c->state == CONN_PEEKING)
		peek_begin(c);
	if (c->state == CONN_OPENING)
		conn_opened(c);
	input_resume(c);
	tls_flush(c);
	out_flush(c);
	out_progress(c);
	input_update(c);
}

/* What OpenSSL adds here does not ask for another turn. */
static void on_flush(struct deferred *d)
{
	struct conn *c = container_of(d, struct conn, flush);

	tls_flush(c);
	deferred_cancel(&c->flush);
	out_flush(c);
	out_progress(c);
	input_update(c);
}

struct conn *conn_new(struct loop *l, const struct conn_options *o, struct err *e)
{
	struct conn *c = calloc(1, sizeof(*c));
	int rc;

	if (!c) {
		err_memory(e, "a connection");
		return NULL;
	}
	rc = uv_tcp_init(&l->uv, &c->tcp);
	if (rc < 0) {
		free(c);
		err_errno(e, ERR_UNAVAILABLE, -rc, "making a socket");
		return NULL;
	}
	uv_timer_init(&l->uv, &c->timer);
	uv_update_time(&l->uv);
	deferred_init(&c->due, on_due);
	deferred_init(&c->flush, on_flush);
	c->loop = l;
	c->events = o->events;
	c->arg = o->arg;
	c->on_peek = o->on_peek;
	c->on_tls_failed = o->on_tls_failed;
	c->plain_http_reply = o->plain_http_reply;
	c->preamble = o->preamble;
	c->duplex = o->duplex;
	c->write_high = o->write_high ? o->write_high : (size_t)CONN_WRITE_HIGH;
	c->handshake_ms = o->handshake_timeout_ms ? o->handshake_timeout_ms : CONN_HANDSHAKE_MS;
	c->active_at = uv_now(&l->uv);
	c->deadline = c->active_at + c->handshake_ms;
	list_init(&c->group);
	if (o->group)
		list_push(o->group, &c->group);
	return c;
}

static void conn_free(struct conn *c)
{
	out_drop(c);
	dial_free(c);
	free(c->proxied);
	SSL_free(c->ssl);
	buf_deinit(&c->kept);
	free(c->server_name);
	free(c->why);
	free(c);
}

void conn_one_closed(struct conn *c)
{
	if (--c->closing_left > 0)
		return;
	list_remove(&c->group);
	if (c->gone)
		c->gone(c, reason_of(c), c->gone_arg);
	if (c->events)
		c->events->on_close(c, reason_of(c), c->arg);
	conn_free(c);
}

void conn_tcp_closed(uv_handle_t *h)
{
	struct conn *c = container_of(h, struct conn, tcp);

	if (c->state == CONN_CLOSING)
		conn_one_closed(c);
	else
		dial_next(c);
}

static void on_timer_closed(uv_handle_t *h)
{
	conn_one_closed(container_of(h, struct conn, timer));
}

/* The one way into CLOSING. */
static void close_handles(struct conn *c)
{
	conn_move(c, CONN_CLOSING);
	deferred_cancel(&c->due);
	deferred_cancel(&c->flush);
	c->closing_left = 2;
	/* In REDIALING the socket is closing already and its callback is still to come. */
	if (uv_is_closing((uv_handle_t *)&c->tcp))
		;
	else if (!c->abort || c->ssl || uv_tcp_close_reset(&c->tcp, conn_tcp_closed) < 0)
		uv_close((uv_handle_t *)&c->tcp, conn_tcp_closed);
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
	dial_cancel(c);
}

void conn_discard(struct conn *c)
{
	c->events = NULL;
	list_remove(&c->group);
	close_handles(c);
}

void conn_close(struct conn *c)
{
	if (c->state != CONN_CLOSING)
		close_handles(c);
}

void conn_close_group(struct link *group)
{
	list_for_each(it, group) conn_close(container_of(it, struct conn, group));
}

void conn_fail(struct conn *c, const struct err *why)
{
	if (c->state == CONN_CLOSING)
		return;
	keep_reason(c, why);
	close_handles(c);
}

void conn_fail_uv(struct conn *c, int status, const char *what)
{
	char text[ADDR_TEXT_SIZE];
	struct err e = ERR_INIT;

	addr_text(&c->peer, text, sizeof(text));
	err_errno(&e, ERR_UNAVAILABLE, -status, "%s %s", what, text);
	conn_fail(c, &e);
}

static void read_addresses(struct conn *c)
{
	int size = sizeof(c->peer.u);

	(void)uv_tcp_getpeername(&c->tcp, &c->peer.u.sa, &size);
	size = sizeof(c->local.u);
	(void)uv_tcp_getsockname(&c->tcp, &c->local.u.sa, &size);
	/* What is to go out together is gathered here already. */
	(void)uv_tcp_nodelay(&c->tcp, 1);
}

int conn_accept(struct conn **out, struct loop *l, uv_stream_t *listener,
		const struct conn_options *o, struct err *e)
{
	struct conn *c = conn_new(l, o, e);
	int rc;

	if (!c)
		return -1;
	c->server = true;
	rc = uv_accept(listener, (uv_stream_t *)&c->tcp);
	if (rc < 0) {
		conn_discard(c);
		return err_errno(e, ERR_UNAVAILABLE, -rc, "accepting a connection");
	}
	read_addresses(c);
	if ((o->tls && !o->on_peek && tls_attach(c, o->tls, e) < 0) ||
	    (o->proxy_protocol && proxied_attach(c, o, e) < 0)) {
		conn_discard(c);
		return -1;
	}
	if (c->proxied) {
		conn_move(c, CONN_PROXIED);
		input_update(c);
	} else if (c->on_peek) {
		conn_move(c, CONN_PEEKING);
		loop_defer(l, &c->due);
		input_update(c);
	} else if (c->ssl) {
		conn_move(c, CONN_HANDSHAKING);
		input_update(c);
	} else {
		conn_move(c, CONN_OPENING);
		loop_defer(l, &c->due);
	}
	conn_timer_update(c);
	*out = c;
	return 0;
}

void conn_established(struct conn *c)
{
	struct err e = ERR_INIT;

	dial_free(c);
	read_addresses(c);
	if (c->preamble.len > 0 && out_add(c, c->preamble.ptr, c->preamble.len) < 0) {
		err_memory(&e, "queueing bytes for a connection");
		conn_fail(c, &e);
		return;
	}
	conn_begin(c);
	input_update(c);
}

void conn_begin(struct conn *c)
{
	if (c->on_peek) {
		conn_move(c, CONN_PEEKING);
		conn_timer_update(c);
		peek_begin(c);
		return;
	}
	if (!c->ssl) {
		conn_opened(c);
		return;
	}
	conn_move(c, CONN_HANDSHAKING);
	conn_timer_update(c);
	tls_handshake(c);
}

void conn_opened(struct conn *c)
{
	conn_move(c, CONN_OPEN);
	c->active_at = uv_now(&c->loop->uv);
	c->events->on_open(c, c->arg);
}

void conn_peer_ended(struct conn *c)
{
	if (c->eof)
		return;
	c->eof = true;
	if (c->state != CONN_OPEN)
		return;
	if (c->events->on_eof)
		c->events->on_eof(c, c->arg);
	else
		conn_shutdown(c);
}

void conn_handshake_resume(struct conn *c)
{
	if (c->state != CONN_HANDSHAKING)
		return;
	/* Not `paused` itself: the callback may ask for this before it has returned. */
	c->resume = true;
	loop_defer(c->loop, &c->due);
}

void conn_set_events(struct conn *c, const struct conn_events *events, void *arg)
{
	c->events = events;
	c->arg = arg;
}

void conn_read_start(struct conn *c)
{
	if (c->want_read || c->state == CONN_CLOSING)
		return;
	c->want_read = true;
	loop_defer(c->loop, &c->due);
}

void conn_read_stop(struct conn *c)
{
	if (!c->want_read || c->state == CONN_CLOSING)
		return;
	c->want_read = false;
	loop_defer(c->loop, &c->due);
}

static void write_failed(struct conn *c)
{
	struct err e = ERR_INIT;

	err_memory(&e, "queueing bytes for a connection");
	conn_fail(c, &e);
}

void conn_write(struct conn *c, struct str bytes)
{
	if (c->state == CONN_CLOSING || c->state == CONN_FLUSHING || c->state == CONN_LINGERING)
		return;
	assert(c->state == CONN_OPEN);
	if (bytes.len == 0 || c->half)
		return;
	if (c->ssl) {
		tls_write(c, bytes);
	} else if (out_add(c, bytes.ptr, bytes.len) < 0) {
		write_failed(c);
	}
}

void conn_flush(struct conn *c)
{
	tls_flush(c);
	out_flush(c);
	/* All of it is gone and nobody waits to hear of that: the end of the turn has nothing to
	 * do. */
	if (c->state == CONN_OPEN && c->out_len == 0 && !c->over_high && !c->half)
		deferred_cancel(&c->flush);
}

size_t conn_queued(const struct conn *c)
{
	return c->out_len + (c->plain ? c->plain->end : 0);
}

bool conn_over_high(const struct conn *c)
{
	return c->over_high;
}

/* Sends what is queued, then ends; on_close will get `why`. */
void conn_finish(struct conn *c, const struct err *why)
{
	keep_reason(c, why);
	conn_move(c, CONN_FLUSHING);
	buf_deinit(&c->kept);
	c->input = STR_NONE;
	c->active_at = uv_now(&c->loop->uv);
	conn_timer_update(c);
	loop_defer(c->loop, &c->due);
}

void conn_shutdown(struct conn *c)
{
	if (c->state == CONN_CLOSING || c->state == CONN_FLUSHING || c->state == CONN_LINGERING)
		return;
	if (c->state != CONN_OPEN) {
		conn_close(c);
		return;
	}
	if (c->ssl && !c->half)
		tls_close_notify(c);
	if (c->state == CONN_OPEN)
		conn_finish(c, &no_reason);
}

void conn_idle_timeout(struct conn *c, uint64_t ms)
{
	if (c->state == CONN_CLOSING)
		return;
	c->idle_ms = ms;
	c->active_at = uv_now(&c->loop->uv);
	conn_timer_update(c);
}

void conn_stall_timeout(struct conn *c, uint64_t ms)
{
	if (c->state == CONN_CLOSING)
		return;
	c->stall_ms = ms;
	c->moved_at = uv_now(&c->loop->uv);
	conn_timer_update(c);
}

void conn_wake(struct conn *c, uint64_t ms)
{
	if (c->state == CONN_CLOSING)
		return;
	c->wake_at = ms ? uv_now(&c->loop->uv) + ms : 0;
	conn_timer_update(c);
}

SSL *conn_ssl(struct conn *c)
{
	return c->ssl;
}

struct str conn_alpn(const struct conn *c)
{
	const unsigned char *name = NULL;
	unsigned len = 0;

	if (c->ssl)
		SSL_get0_alpn_selected(c->ssl, &name, &len);
	return name ? (struct str){(const char *)name, len} : STR("");
}

const struct addr *conn_peer(const struct conn *c)
{
	return &c->peer;
}

const struct addr *conn_tcp_peer(const struct conn *c)
{
	return c->proxied ? &c->proxied->tcp_peer : &c->peer;
}

const struct addr *conn_local(const struct conn *c)
{
	return &c->local;
}

const struct addr *conn_destination(const struct conn *c)
{
	return c->proxied ? &c->proxied->destination : &c->local;
}

struct loop *conn_loop(struct conn *c)
{
	return c->loop;
}

void conn_on_gone(struct conn *c, void (*gone)(struct conn *c, const struct err *why, void *arg),
		  void *arg)
{
	c->gone = gone;
	c->gone_arg = arg;
}
