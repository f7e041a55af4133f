/* Two connections copied into each other: after 101, and for stream routes.
 *
 *     client ──bytes──▶ upstream     each direction ends on its own: FIN (close_notify under TLS)
 * is client ◀──bytes── upstream     passed on when everything before it was
 *
 * A side whose peer takes nothing stops the other side's reading: what waits is bounded by the
 * connections' write_high and one read, in each direction. What ends without order on one side
 * (reset, truncated TLS, timeout) is a reset on the other. owner: itself, from tunnel_start until
 * on_end; thread: the connections' loop. */
#ifndef CARDEA_PROXY_TUNNEL_H
#define CARDEA_PROXY_TUNNEL_H

#include "common/net/conn.h"

struct tunnel;

struct tunnel_end {
	uint64_t from_client, from_upstream; /* bytes */
	bool upstream_failed;		     /* whose connection why is about */
	/* ERR_NONE: both sides ended in order, or tunnel_close; ERR_TIMEOUT: idle. */
	struct err why;
};

struct tunnel_options {
	uint64_t idle_ms; /* without a byte in either direction; 0: no limit */
	/* Last; both connections are gone. May be NULL. */
	void (*on_end)(struct tunnel *t, const struct tunnel_end *end, void *arg);
	void *arg;
};

/* Both connections are open and the tunnel's from now on; one that has ended meanwhile is fine.
 * client_left, upstream_left: bytes that were read from each already; copied. On error the
 * connections are still the caller's. */
int tunnel_start(struct tunnel **out, struct conn *client, struct str client_left,
		 struct conn *upstream, struct str upstream_left, const struct tunnel_options *o,
		 struct err *e) must_check;
/* Ends both sides now; on_end follows. Safe twice. */
void tunnel_close(struct tunnel *t);

#endif
