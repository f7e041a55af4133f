/* The first bytes of an accepted connection, looked at before anything is made of them.
 *
 * Happy path: bytes are gathered in `kept`; on_peek sees all of them each time more came;
 * conn_peeked drops what it used and goes on with TLS or plain.
 * Failure paths: more than CONN_PEEK_MAX, the peer ends, the handshake's time is over.
 */
#include "common/net/conn_internal.h"

int conn_peeked(struct conn *c, size_t used, SSL_CTX *tls, struct err *e)
{
	assert(c->state == CONN_PEEKING && used <= c->kept.len);
	if (tls && tls_attach(c, tls, e) < 0)
		return -1;
	buf_consume(&c->kept, used);
	conn_move(c, tls ? CONN_HANDSHAKING : CONN_OPENING);
	loop_defer(c->loop, &c->due);
	return 0;
}

void peek_begin(struct conn *c)
{
	if (c->kept.len == 0)
		c->on_peek(c, STR(""), c->arg);
}

void peek_take(struct conn *c)
{
	struct str bytes = c->input;
	char text[ADDR_TEXT_SIZE];
	struct err e = ERR_INIT;

	if (bytes.len == 0)
		return;
	c->input = STR_NONE;
	addr_text(&c->peer, text, sizeof(text));
	if (c->kept.len + bytes.len > CONN_PEEK_MAX) {
		err_set(&e, ERR_LIMIT, "%s: more than %d bytes and not yet clear what it wants",
			text, CONN_PEEK_MAX);
		conn_fail(c, &e);
	} else if (buf_add_str(&c->kept, bytes, &e) < 0) {
		conn_fail(c, &e);
	} else {
		c->on_peek(c, buf_str(&c->kept), c->arg);
	}
}

void peek_tcp_end(struct conn *c)
{
	char text[ADDR_TEXT_SIZE];
	struct err e = ERR_INIT;

	addr_text(&c->peer, text, sizeof(text));
	err_set(&e, ERR_UNAVAILABLE, "%s closed the connection before it said what it wants", text);
	conn_fail(c, &e);
}
