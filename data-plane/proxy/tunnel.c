/* Happy path: on_data of a side is written to the other; a side over its high mark stops the
 * other's reading until it drained; on_eof of a side half-closes the other; both at their end: shut
 * down; on_close of both; on_end. Failure paths: a side fails or is idle: the other is aborted; no
 * memory for a write: conn fails.
 */
#include "data-plane/proxy/tunnel.h"

#include <stdlib.h>

struct side {
	struct tunnel *tunnel;
	struct side *other;
	struct conn *conn; /* NULL: on_close came */
	uint64_t bytes;	   /* that came from its peer */
};

struct tunnel {
	struct side client, upstream;
	struct tunnel_options options;
	struct tunnel_end end;
};

static void pass(struct side *s, struct str bytes)
{
	s->bytes += bytes.len;
	conn_write(s->other->conn, bytes);
	if (conn_over_high(s->other->conn))
		conn_read_stop(s->conn);
}

static void on_data(struct conn *c, struct str bytes, void *arg)
{
	struct side *s = arg;

	(void)c;
	if (s->other->conn)
		pass(s, bytes);
}

static void on_drain(struct conn *c, void *arg)
{
	struct side *s = arg;

	(void)c;
	if (s->other->conn)
		conn_read_start(s->other->conn);
}

static void on_eof(struct conn *c, void *arg)
{
	struct side *s = arg;

	/* The other's on_close will shut this one down. */
	if (!s->other->conn)
		return;
	conn_half_close(s->other->conn);
	if (!conn_at_eof(s->other->conn))
		return;
	conn_shutdown(s->other->conn);
	conn_shutdown(c);
}

static void end(struct tunnel *t)
{
	t->end.from_client = t->client.bytes;
	t->end.from_upstream = t->upstream.bytes;
	if (t->options.on_end)
		t->options.on_end(t, &t->end, t->options.arg);
	free(t);
}

static void on_close(struct conn *c, const struct err *why, void *arg)
{
	struct side *s = arg;
	struct tunnel *t = s->tunnel;

	(void)c;
	s->conn = NULL;
	if (why->kind != ERR_NONE && t->end.why.kind == ERR_NONE) {
		t->end.why = *why;
		t->end.upstream_failed = s == &t->upstream;
	}
	if (!s->other->conn)
		end(t);
	else if (why->kind != ERR_NONE || !conn_at_eof(s->other->conn))
		conn_abort(s->other->conn);
	else
		conn_shutdown(s->other->conn);
}

static const struct conn_events events = {NULL, on_data, on_drain, on_eof, on_close, NULL};

static void begin(struct side *s, struct str left)
{
	conn_set_events(s->conn, &events, s);
	conn_set_duplex(s->conn);
	conn_idle_timeout(s->conn, s->tunnel->options.idle_ms);
	if (left.len > 0)
		pass(s, left);
}

/* Whoever had the connection before may have seen its end already: on_eof does not come again. */
static void go_on(struct side *s)
{
	if (conn_at_eof(s->conn))
		on_eof(s->conn, s);
	else if (!conn_over_high(s->other->conn))
		conn_read_start(s->conn);
}

int tunnel_start(struct tunnel **out, struct conn *client, struct str client_left,
		 struct conn *upstream, struct str upstream_left, const struct tunnel_options *o,
		 struct err *e)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	if (!t)
		return err_memory(e, "a tunnel");
	t->options = *o;
	t->client = (struct side){t, &t->upstream, client, 0};
	t->upstream = (struct side){t, &t->client, upstream, 0};
	begin(&t->client, client_left);
	begin(&t->upstream, upstream_left);
	go_on(&t->client);
	go_on(&t->upstream);
	*out = t;
	return 0;
}

void tunnel_close(struct tunnel *t)
{
	if (t->client.conn)
		conn_abort(t->client.conn);
	if (t->upstream.conn)
		conn_abort(t->upstream.conn);
}
