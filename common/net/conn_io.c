/* Bytes of a connection: the out-queue, the input, and the timer.
 *
 * Out: chunks are filled by conn_write or OpenSSL; the end of the turn tries to write them all at
 * once, and what the kernel does not take goes through one uv_write at a time.
 * In: the loop's one read buffer is lent to libuv and handed on at once; what nobody wants yet is
 * copied into `kept`, and reading stops.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/net/conn_internal.h"

enum { IOV_MAX_CHUNKS = 16, FLUSH_SIZE = 64 * 1024 };

int out_add(struct conn *c, const char *bytes, size_t n)
{
	/* A flush failed while OpenSSL was at a write of several records: the rest goes nowhere. */
	if (c->state == CONN_CLOSING)
		return 0;
	if (c->out_len == 0)
		c->moved_at = uv_now(&c->loop->uv);
	while (n > 0) {
		struct chunk *tail = c->out_tail;
		size_t room;

		if (!tail || tail->end == POOL_CHUNK_SIZE) {
			tail = io_pool_chunk(c->loop->pool);
			if (!tail)
				return -1;
			if (c->out_tail)
				c->out_tail->next = tail;
			else
				c->out_head = tail;
			c->out_tail = tail;
		}
		room = POOL_CHUNK_SIZE - tail->end;
		if (room > n)
			room = n;
		memcpy(tail->data + tail->end, bytes, room);
		tail->end += room;
		c->out_len += room;
		bytes += room;
		n -= room;
	}
	/* Output of a handshake that is about to fail still goes out. */
	loop_defer_last(c->loop, &c->flush);
	if (c->out_len >= FLUSH_SIZE)
		out_flush(c);
	if (c->out_len > c->write_high)
		c->over_high = true;
	return 0;
}

static void out_consume(struct conn *c, size_t n)
{
	c->out_len -= n;
	while (n > 0) {
		struct chunk *head = c->out_head;
		size_t have;

		assert(head);
		have = head->end - head->start;
		if (n < have) {
			head->start += n;
			return;
		}
		n -= have;
		c->out_head = head->next;
		if (!c->out_head)
			c->out_tail = NULL;
		io_pool_put(c->loop->pool, head);
	}
}

void out_drop(struct conn *c)
{
	if (c->plain)
		io_pool_put(c->loop->pool, c->plain);
	c->plain = NULL;
	while (c->out_head) {
		struct chunk *head = c->out_head;

		c->out_head = head->next;
		io_pool_put(c->loop->pool, head);
	}
	c->out_tail = NULL;
	c->out_len = 0;
}

static unsigned gather(struct conn *c, uv_buf_t bufs[IOV_MAX_CHUNKS], size_t *total)
{
	unsigned n = 0;

	*total = 0;
	for (struct chunk *k = c->out_head; k && n < IOV_MAX_CHUNKS; k = k->next) {
		bufs[n].base = k->data + k->start;
		bufs[n].len = k->end - k->start;
		*total += bufs[n++].len;
	}
	return n;
}

static void on_written(uv_write_t *req, int status)
{
	struct conn *c = req->data;

	free(req);
	c->writing = false;
	if (c->state == CONN_CLOSING)
		return;
	if (status < 0) {
		conn_fail_uv(c, status, "writing to");
		return;
	}
	c->active_at = c->moved_at = uv_now(&c->loop->uv);
	out_consume(c, c->in_flight);
	c->in_flight = 0;
	out_flush(c);
	out_progress(c);
	input_update(c);
}

static bool is_connected(const struct conn *c)
{
	return c->state == CONN_HANDSHAKING || c->state == CONN_OPEN || c->state == CONN_FLUSHING;
}

/* libuv writes what it can, when it can. */
static void write_later(struct conn *c)
{
	uv_write_t *req = malloc(sizeof(*req));
	uv_buf_t bufs[IOV_MAX_CHUNKS];
	struct err e = ERR_INIT;
	unsigned n;
	int rc;

	if (!req) {
		err_memory(&e, "writing to a connection");
		conn_fail(c, &e);
		return;
	}
	n = gather(c, bufs, &c->in_flight);
	req->data = c;
	rc = uv_write(req, (uv_stream_t *)&c->tcp, bufs, n, on_written);
	if (rc < 0) {
		free(req);
		conn_fail_uv(c, rc, "writing to");
		return;
	}
	c->writing = true;
}

/* What the kernel takes now, or a uv error. One piece, as nearly always, without libuv: send(2) is
 * a shorter way than write(2), for the kernel too. */
static int give(struct conn *c, const uv_buf_t *bufs, unsigned n)
{
	uv_os_fd_t fd;
	ssize_t sent;

	if (n != 1 || uv_fileno((const uv_handle_t *)&c->tcp, &fd) < 0)
		return uv_try_write((uv_stream_t *)&c->tcp, bufs, n);
	do
		sent = send(fd, bufs[0].base, bufs[0].len, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return (int)sent;
	return errno == ENOBUFS ? UV_EAGAIN : -errno;
}

/* One write of up to IOV_MAX_CHUNKS; false when the kernel takes no more. */
static bool flush_some(struct conn *c)
{
	uv_buf_t bufs[IOV_MAX_CHUNKS];
	size_t total;
	unsigned n = gather(c, bufs, &total);
	int rc = give(c, bufs, n);

	if (rc < 0 && rc != UV_EAGAIN) {
		conn_fail_uv(c, rc, "writing to");
		return false;
	}
	if (rc > 0) {
		c->active_at = c->moved_at = uv_now(&c->loop->uv);
		out_consume(c, (size_t)rc);
	}
	if (rc > 0 && (size_t)rc == total)
		return true;
	write_later(c);
	return false;
}

/* Never calls back: conn_write uses it too. */
void out_flush(struct conn *c)
{
	while (is_connected(c) && c->out_len > 0 && !c->writing && flush_some(c))
		;
	if (c->stall_ms && c->out_len > 0 && c->state != CONN_CLOSING)
		conn_timer_update(c);
}

static void linger(struct conn *c)
{
	if (c->eof) {
		conn_close(c);
		return;
	}
	conn_move(c, CONN_LINGERING);
	c->deadline = uv_now(&c->loop->uv) + CONN_LINGER_MS;
	conn_timer_update(c);
	input_update(c);
}

static void end_shutdown(struct conn *c)
{
	/* close(2) sends the FIN too, and nothing more is to be read. */
	if (c->eof || out_shutdown(c) < 0)
		conn_close(c);
	else
		linger(c);
}

/* Not uv_shutdown: it would wait for a turn in which the socket is writable. */
int out_shutdown(struct conn *c)
{
	uv_os_fd_t fd;
	int rc = uv_fileno((const uv_handle_t *)&c->tcp, &fd);

	if (rc == 0 && shutdown(fd, SHUT_WR) < 0)
		rc = -errno;
	c->shut_done = rc == 0;
	return rc;
}

void out_progress(struct conn *c)
{
	if (c->state == CONN_FLUSHING && c->shut_done)
		linger(c);
	else if (c->state == CONN_FLUSHING && c->out_len == 0)
		end_shutdown(c);
	if (c->half)
		half_progress(c);
	if (c->state != CONN_OPEN || !c->over_high || conn_queued(c) > c->write_high / 2)
		return;
	c->over_high = false;
	loop_defer(c->loop, &c->due);
	if (c->events->on_drain)
		c->events->on_drain(c, c->arg);
}

bool input_wanted(const struct conn *c)
{
	switch (c->state) {
	case CONN_PROXIED:
	case CONN_PEEKING:
		return true;
	case CONN_HANDSHAKING:
		return !c->paused;
	case CONN_OPEN:
		return c->want_read && (c->duplex || !c->over_high) && !c->eof;
	case CONN_FLUSHING:
	case CONN_LINGERING:
		return !c->eof;
	default:
		return false;
	}
}

void conn_deliver(struct conn *c, struct str bytes)
{
	c->events->on_data(c, bytes, c->arg);
}

static void drop_input(struct conn *c)
{
	c->dropped += c->input.len;
	c->input = STR_NONE;
	if (c->state == CONN_LINGERING && c->dropped > CONN_LINGER_BYTES)
		conn_close(c);
}

/* Takes c->input as far as it is wanted. */
static void take_input(struct conn *c)
{
	struct str bytes;

	if (c->state == CONN_PROXIED)
		proxied_input(c);
	else if (c->state == CONN_HANDSHAKING && !c->paused)
		tls_handshake(c);
	if (c->state == CONN_PEEKING) {
		peek_take(c);
	} else if (c->state == CONN_FLUSHING || c->state == CONN_LINGERING) {
		drop_input(c);
	} else if (c->state == CONN_OPEN && input_wanted(c) && c->ssl) {
		tls_read(c);
	} else if (c->state == CONN_OPEN && input_wanted(c) && c->input.len > 0) {
		bytes = c->input;
		c->input = STR_NONE;
		conn_deliver(c, bytes);
	}
}

static void keep_input(struct conn *c)
{
	struct str rest = c->input;
	struct err e;

	c->input = STR_NONE;
	if (rest.len == 0 || c->state == CONN_CLOSING)
		return;
	err_clear(&e);
	if (buf_add_str(&c->kept, rest, &e) < 0)
		conn_fail(c, &e);
}

void input_resume(struct conn *c)
{
	struct str before = buf_str(&c->kept);

	if (c->resume)
		c->paused = false;
	if (!input_wanted(c) || (before.len == 0 && !c->resume))
		return;
	c->resume = false;
	c->input = before;
	take_input(c);
	/* conn_finish may have freed `kept` under us. */
	if (c->state == CONN_CLOSING || c->kept.len == 0)
		return;
	buf_consume(&c->kept, c->kept.len - c->input.len);
	c->input = STR_NONE;
	if (c->kept.len == 0)
		buf_deinit(&c->kept);
	else if (input_wanted(c))
		loop_defer(c->loop, &c->due);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
	struct conn *c = container_of(h, struct conn, tcp);

	(void)suggested;
	out->base = c->loop->pool->read;
	out->len = POOL_READ_SIZE;
}

static void on_tcp_end(struct conn *c)
{
	struct err e = ERR_INIT;
	char text[ADDR_TEXT_SIZE];

	addr_text(&c->peer, text, sizeof(text));
	if (c->state == CONN_PEEKING) {
		peek_tcp_end(c);
	} else if (c->state == CONN_HANDSHAKING || c->state == CONN_PROXIED) {
		err_set(&e, ERR_UNAVAILABLE, "%s closed the connection during the %s", text,
			c->ssl ? "TLS handshake" : "PROXY header");
		conn_fail(c, &e);
	} else if (c->state == CONN_OPEN && c->ssl) {
		err_set(&e, ERR_UNAVAILABLE, "%s closed the connection without close_notify", text);
		conn_fail(c, &e);
	} else if (c->state == CONN_LINGERING) {
		conn_close(c);
	} else {
		conn_peer_ended(c);
	}
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct conn *c = container_of(stream, struct conn, tcp);

	if (nread == 0 || c->state == CONN_CLOSING)
		return;
	if (nread == UV_EOF) {
		on_tcp_end(c);
	} else if (nread < 0) {
		conn_fail_uv(c, (int)nread, "reading from");
	} else {
		/* What comes in does not excuse a peer that takes nothing. */
		if (c->state != CONN_FLUSHING)
			c->active_at = uv_now(&c->loop->uv);
		c->input = (struct str){buf->base, (size_t)nread};
		/* Older bytes first. */
		if (c->kept.len == 0 || c->state == CONN_PEEKING)
			take_input(c);
		keep_input(c);
	}
	input_update(c);
}

void input_update(struct conn *c)
{
	bool on = input_wanted(c) && (c->kept.len == 0 || c->state == CONN_PEEKING);
	int rc;

	if (on == c->reading || c->state == CONN_CLOSING)
		return;
	c->reading = on;
	rc = on ? uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read)
		: uv_read_stop((uv_stream_t *)&c->tcp);
	if (rc < 0)
		conn_fail_uv(c, rc, "reading from");
}

static bool is_stalled(const struct conn *c, uint64_t now)
{
	return c->stall_ms && c->out_len > 0 && c->moved_at + c->stall_ms <= now;
}

/* Of two times, of which 0 is never. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

static uint64_t open_until(const struct conn *c)
{
	uint64_t idle = c->idle_ms ? c->active_at + c->idle_ms : 0;
	uint64_t stall = c->stall_ms && c->out_len > 0 ? c->moved_at + c->stall_ms : 0;

	return sooner(idle, stall);
}

/* Loop time at which the state has lasted too long, or 0. */
static uint64_t due_at(const struct conn *c)
{
	switch (c->state) {
	case CONN_CONNECTING:
		return c->dial->try_until;
	case CONN_RESOLVING:
	case CONN_REDIALING:
	case CONN_PEEKING:
	case CONN_HANDSHAKING:
	case CONN_LINGERING:
		return c->deadline;
	case CONN_PROXIED:
		return c->deadline - c->handshake_ms + CONN_PROXY_MS;
	case CONN_OPEN:
		return open_until(c);
	case CONN_FLUSHING:
		return c->active_at + CONN_SHUTDOWN_STALL_MS;
	default:
		return 0;
	}
}

static void expire(struct conn *c)
{
	struct err e = ERR_INIT;
	char text[ADDR_TEXT_SIZE];

	addr_text(&c->peer, text, sizeof(text));
	if (c->state == CONN_LINGERING) {
		conn_close(c);
		return;
	}
	if (c->state == CONN_OPEN && is_stalled(c, uv_now(&c->loop->uv)))
		err_set(&e, ERR_TIMEOUT, "%s took nothing for %llu ms", text,
			(unsigned long long)c->stall_ms);
	else if (c->state == CONN_OPEN)
		err_set(&e, ERR_TIMEOUT, "%s was idle for %llu ms", text,
			(unsigned long long)c->idle_ms);
	else if (c->state == CONN_PEEKING)
		err_set(&e, ERR_TIMEOUT, "%s did not say what it wants within %llu ms", text,
			(unsigned long long)c->handshake_ms);
	else if (c->state == CONN_FLUSHING)
		err_set(&e, ERR_TIMEOUT, "%s did not take the last bytes", text);
	else if (c->state == CONN_PROXIED)
		err_set(&e, ERR_TIMEOUT, "no PROXY header from %s within %d ms", text,
			CONN_PROXY_MS);
	else if (c->state == CONN_HANDSHAKING)
		err_set(&e, ERR_TIMEOUT, "TLS handshake with %s took longer than %llu ms", text,
			(unsigned long long)c->handshake_ms);
	else {
		dial_timeout(c);
		return;
	}
	conn_fail(c, &e);
}

static void on_timer(uv_timer_t *h)
{
	struct conn *c = container_of(h, struct conn, timer);
	uint64_t due = due_at(c);

	c->timer_at = 0;
	if (due && due <= uv_now(h->loop))
		expire(c);
	if (c->state == CONN_OPEN && c->wake_at && c->wake_at <= uv_now(h->loop)) {
		c->wake_at = 0;
		c->events->on_wake(c, c->arg);
	}
	if (c->state != CONN_CLOSING)
		conn_timer_update(c);
}

/* Activity only moves active_at; the timer looks at it when it fires and goes on from there. */
void conn_timer_update(struct conn *c)
{
	uint64_t due = due_at(c);
	uint64_t now = uv_now(&c->loop->uv);

	if (c->state == CONN_OPEN)
		due = sooner(due, c->wake_at);
	if (due == 0 || (c->timer_at && c->timer_at <= due))
		return;
	uv_timer_start(&c->timer, on_timer, due > now ? due - now : 1, 0);
	c->timer_at = due;
}
