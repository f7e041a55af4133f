/* The PROXY header of an accepted connection.
 *
 * Happy path: bytes are gathered until the header is whole; the peer becomes who it names;
 * on_proxied; TLS or on_open. Bytes behind the header are the connection's.
 * Failure paths: not a header, not whole in time, the peer ends: the connection is dropped without
 * an answer (PP-02); on_proxied closes.
 */
#include <stdlib.h>
#include <string.h>

#include "common/net/conn_internal.h"
#include "common/net/proxy_protocol.h"

int proxied_attach(struct conn *c, const struct conn_options *o, struct err *e)
{
	struct proxied *p = malloc(sizeof(*p) + PROXY_HEADER_MAX);

	if (!p)
		return err_memory(e, "a connection");
	*p = (struct proxied){o->on_proxied, o->on_proxied_arg, c->peer, c->local, 0};
	c->proxied = p;
	return 0;
}

static void begin(struct conn *c, const struct proxy_header *h)
{
	struct proxied *p = realloc(c->proxied, sizeof(*p));

	/* Without memory for less, the larger piece stays. */
	if (p)
		c->proxied = p;
	if (h->addressed) {
		c->peer = h->source;
		c->proxied->destination = h->destination;
	}
	if (c->proxied->on_proxied)
		c->proxied->on_proxied(c, c->proxied->arg);
	if (c->state == CONN_PROXIED)
		conn_begin(c);
}

void proxied_input(struct conn *c)
{
	struct proxied *p = c->proxied;
	struct proxy_header h;
	struct err e = ERR_INIT;
	size_t before = p->len, n = PROXY_HEADER_MAX - before;

	if (n > c->input.len)
		n = c->input.len;
	memcpy(p->bytes + before, c->input.ptr, n);
	p->len += n;
	switch (proxy_header_parse((struct str){p->bytes, p->len}, &h, &e)) {
	case PROXY_MORE:
		c->input = STR_NONE;
		break;
	case PROXY_DONE:
		c->input = str_sub(c->input, h.len - before, c->input.len);
		begin(c, &h);
		break;
	case PROXY_BAD:
		c->input = STR_NONE;
		conn_fail(c, &e);
		break;
	}
}
