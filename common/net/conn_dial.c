/* Outgoing connections: look-up, then one address after the other.
 *
 * Happy path: getaddrinfo on libuv's pool (skipped for a numeric host); uv_tcp_connect; connected.
 * Failure paths: look-up fails: the connection fails; a try fails or uses up its share of the time:
 * the socket is closed and, when that is done, the next address is tried; none left: fails with the
 * last reason.
 */
#include <stdlib.h>
#include <string.h>

#include "common/net/conn_internal.h"

static void fail_dial(struct conn *c, enum err_kind kind, const char *reason)
{
	struct err e = ERR_INIT;

	err_set(&e, kind, "connecting to %s port %u: %s", c->dial->host, c->dial->port, reason);
	conn_fail(c, &e);
}

static void try_failed(struct conn *c, int status)
{
	struct err e = ERR_INIT;
	char text[ADDR_TEXT_SIZE];

	addr_text(&c->peer, text, sizeof(text));
	err_errno(&e, status == UV_ETIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, -status,
		  "connecting to %s (%s)", c->dial->host, text);
	if (!c->dial->next) {
		conn_fail(c, &e);
		return;
	}
	conn_move(c, CONN_REDIALING);
	uv_close((uv_handle_t *)&c->tcp, conn_tcp_closed);
}

static void on_connect(uv_connect_t *req, int status)
{
	struct conn *c = req->data;

	/* Cancelled: by conn_close, or because this try took too long. */
	if (c->state != CONN_CONNECTING || status == UV_ECANCELED)
		return;
	if (status < 0)
		try_failed(c, status);
	else
		conn_established(c);
}

static uint64_t share_of_time(const struct conn *c)
{
	uint64_t now = uv_now(&c->loop->uv);
	uint64_t left = c->deadline > now ? c->deadline - now : 0;
	unsigned tries = 1;

	for (const struct addrinfo *a = c->dial->next; a; a = a->ai_next)
		tries++;
	return now + left / tries;
}

/* Tries c->peer. */
static int dial_address(struct conn *c)
{
	c->dial->try_until = share_of_time(c);
	conn_move(c, CONN_CONNECTING);
	conn_timer_update(c);
	c->dial->connect.data = c;
	return uv_tcp_connect(&c->dial->connect, &c->tcp, &c->peer.u.sa, on_connect);
}

static void take_address(struct conn *c)
{
	const struct addrinfo *a = c->dial->next;

	c->dial->next = a->ai_next;
	c->peer = (struct addr){0};
	memcpy(&c->peer.u, a->ai_addr, a->ai_addrlen);
}

void dial_next(struct conn *c)
{
	int rc = uv_tcp_init(&c->loop->uv, &c->tcp);

	/* With AF_UNSPEC it only fills in the handle. */
	assert(rc == 0);
	take_address(c);
	rc = dial_address(c);
	if (rc < 0)
		try_failed(c, rc);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct dial *d = container_of(req, struct dial, resolve);
	struct conn *c = d->conn;
	int rc;

	d->resolving = false;
	d->list = list;
	if (c->state == CONN_CLOSING) {
		conn_one_closed(c);
		return;
	}
	if (status < 0 || !list) {
		fail_dial(c, ERR_UNAVAILABLE, status < 0 ? uv_strerror(status) : "no address");
		return;
	}
	d->next = list;
	take_address(c);
	rc = dial_address(c);
	if (rc < 0)
		try_failed(c, rc);
}

void dial_timeout(struct conn *c)
{
	if (c->state == CONN_CONNECTING)
		try_failed(c, UV_ETIMEDOUT);
	else
		fail_dial(c, ERR_TIMEOUT,
			  c->state == CONN_RESOLVING ? "look-up took too long" : "timed out");
}

/* The look-up counts as a handle of the closing conn: it may be running and uncancellable. */
void dial_cancel(struct conn *c)
{
	if (!c->dial || !c->dial->resolving)
		return;
	c->closing_left++;
	(void)uv_cancel((uv_req_t *)&c->dial->resolve);
}

void dial_free(struct conn *c)
{
	if (!c->dial)
		return;
	uv_freeaddrinfo(c->dial->list);
	free(c->dial);
	c->dial = NULL;
}

static bool numeric(struct addr *out, const char *host, uint16_t port)
{
	return uv_ip4_addr(host, port, &out->u.in4) == 0 ||
	       uv_ip6_addr(host, port, &out->u.in6) == 0;
}

static int start_resolving(struct conn *c, struct err *e)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
				       .ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
	char service[8];
	int rc;

	snprintf(service, sizeof(service), "%u", c->dial->port);
	rc = uv_getaddrinfo(&c->loop->uv, &c->dial->resolve, on_resolved, c->dial->host, service,
			    &hints);
	if (rc < 0)
		return err_errno(e, ERR_INVALID, -rc, "looking up %s", c->dial->host);
	c->dial->resolving = true;
	conn_move(c, CONN_RESOLVING);
	conn_timer_update(c);
	return 0;
}

static int start_dial(struct conn *c, const char *host, uint16_t port, struct err *e)
{
	size_t len = strlen(host);
	struct dial *d;
	int rc;

	if (len == 0 || len >= sizeof(d->host))
		return err_set(e, ERR_INVALID, "host name has %zu bytes; 1 to %zu are allowed", len,
			       sizeof(d->host) - 1);
	c->dial = d = calloc(1, sizeof(*d));
	if (!d)
		return err_memory(e, "an outgoing connection");
	d->conn = c;
	d->port = port;
	memcpy(d->host, host, len + 1);
	if (!numeric(&c->peer, host, port))
		return start_resolving(c, e);
	rc = dial_address(c);
	if (rc < 0)
		return err_errno(e, ERR_UNAVAILABLE, -rc, "connecting to %s port %u", host, port);
	return 0;
}

int conn_connect(struct conn **out, struct loop *l, const char *host, uint16_t port,
		 const struct conn_options *o, struct err *e)
{
	struct conn *c = conn_new(l, o, e);

	if (!c)
		return -1;
	if (o->server_name) {
		c->server_name = str_dup(str_from(o->server_name));
		if (!c->server_name) {
			conn_discard(c);
			return err_memory(e, "the name of a server");
		}
	}
	if ((o->tls && tls_attach(c, o->tls, e) < 0) || start_dial(c, host, port, e) < 0) {
		conn_discard(c);
		return -1;
	}
	*out = c;
	return 0;
}
