/* Connections of stream listeners (kong-admin-api.md 2.5): each gets a route by its server name and
 * addresses, and is copied to a target of the route's service.
 *
 *     PEEKING ─▶ OPENING ─▶ PICKING ⇄ CONNECTING ─▶ COPYING ─▶ (gone)
 *        │ tcp: by addresses, at once
 *        │ tls_passthrough: by the ClientHello's name; its bytes go to the upstream as they are
 *        │ tls (listener with ssl): the same, then TLS ends here
 *        └────────── no route, no target, the client leaves: ENDING ─▶ (gone)
 *
 * A connection that is over is counted, by its route too, and is a line of the access log. With
 * `upstream_proxy_protocol` its upstream gets a PROXY header first, before TLS.
 *
 * The ClientHello has to come within the handshake's time, whole (SL-01). owner: the server's,
 * thread: the worker. */
#ifndef CARDEA_PROXY_STREAM_H
#define CARDEA_PROXY_STREAM_H

#include "common/net/conn.h"
#include "data-plane/proxy/edge.h"
#include "data-plane/proxy/route_stats.h"
#include "data-plane/proxy/targets.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tls/origin.h"

struct stream_options {
	const struct tables *tables;
	struct loop *loop;
	struct targets *targets;
	struct origin_tls_cache *origins; /* may be NULL: no TLS to upstreams */
	uint64_t idle_ms;		  /* tunnel_idle_timeout */
	const struct edge *edge;	  /* the access log, the PROXY header for upstreams */
	size_t number;			  /* of the worker: its ring of the access log */
	struct stats *stats;
	struct route_stats_cache *routes;
};

/* Of one worker. */
struct stream_server {
	struct stream_options options; /* read */
	size_t count;		       /* read: sessions that are not gone */
};

/* One listening socket. */
struct stream_port {
	struct stream_server *server; /* set */
	SSL_CTX *tls;		      /* set: of listeners with ssl, or NULL */
};

/* No connection yet; allocates nothing. */
void stream_server_init(struct stream_server *s, const struct stream_options *o);
/* For listener_options.on_accept: fills in what a connection of the port begins with. p outlives
 * it.
 */
void stream_accept(struct stream_port *p, struct conn_options *o);

#endif
