/* Ending one direction of a connection, and ending both without order.
 *
 * Happy path: conn_half_close; the queue goes out; close_notify and FIN; input goes on until the
 * peer ends; conn_shutdown.
 * Failure paths: as those of conn.c.
 */
#include "common/net/conn_internal.h"

void conn_half_close(struct conn *c)
{
	if (c->half || c->state == CONN_CLOSING || c->state == CONN_FLUSHING ||
	    c->state == CONN_LINGERING)
		return;
	assert(c->state == CONN_OPEN);
	if (c->ssl)
		tls_close_notify(c);
	c->half = true;
	if (c->state == CONN_OPEN)
		loop_defer(c->loop, &c->due);
}

void half_progress(struct conn *c)
{
	int rc;

	if (c->state != CONN_OPEN || c->out_len > 0 || c->shut_done)
		return;
	rc = out_shutdown(c);
	if (rc < 0)
		conn_fail_uv(c, rc, "ending the connection with");
}

bool conn_at_eof(const struct conn *c)
{
	return c->eof;
}

void conn_set_duplex(struct conn *c)
{
	c->duplex = true;
	if (c->state == CONN_OPEN)
		loop_defer(c->loop, &c->due);
}

void conn_abort(struct conn *c)
{
	c->abort = true;
	conn_close(c);
}
