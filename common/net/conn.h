/* A TCP connection, plain or TLS: the narrow waist. The only owner of a uv_tcp_t and an SSL.
 * OpenSSL reads from the bytes that arrived and writes into the out-queue by a BIO of our own; it
 * never sees the socket.
 *
 * Life: conn_accept/conn_connect -> on_open (TCP, then TLS handshake done) ->
 * on_data/on_drain/on_eof ... -> on_close. on_close comes exactly once for every connection that
 * was made, also when it never opened; the conn is freed when it returns. After conn_close no
 * callback but on_close comes. Callbacks may call any conn function. owner: its creator, thread:
 * its loop.
 *
 * Writing copies (or encrypts) into an out-queue that is flushed once per loop turn or when it is
 * large. The queue is bounded by write_high: over it, conn_write still takes the bytes but
 * conn_queued() says so, and reading from this peer pauses until it drained (back-pressure);
 * on_drain comes when it fell below half. Two ends that both write without end would so wait for
 * each other: a protocol must bound what at least one of them sends unasked, or ask for duplex.
 */
#ifndef CARDEA_NET_CONN_H
#define CARDEA_NET_CONN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/addr.h"
#include "common/net/loop.h"

struct conn;

struct conn_events {
	/* Ready for conn_write and conn_read_start (reading is off until then). */
	void (*on_open)(struct conn *c, void *arg);
	/* bytes live until the call returns. */
	void (*on_data)(struct conn *c, struct str bytes, void *arg);
	/* The out-queue fell below half of write_high after having been over it. May be NULL. */
	void (*on_drain)(struct conn *c, void *arg);
	/* The peer will send no more (FIN, or close_notify under TLS). NULL: as conn_shutdown. FIN
	 * without close_notify under TLS is a truncation: the connection fails with
	 * ERR_UNAVAILABLE. */
	void (*on_eof)(struct conn *c, void *arg);
	/* Last call. why->kind is ERR_NONE when this side asked for the close or the peer ended
	 * cleanly. */
	void (*on_close)(struct conn *c, const struct err *why, void *arg);
	/* The time of conn_wake is over. NULL where that is not called. */
	void (*on_wake)(struct conn *c, void *arg);
};

struct conn_options {
	const struct conn_events *events; /* required; outlives the conn */
	void *arg;
	SSL_CTX *tls;		       /* NULL: plain. A reference is taken. */
	const char *server_name;       /* connect with TLS: SNI and the name that is verified; NULL:
					  neither */
	size_t write_high;	       /* 0: CONN_WRITE_HIGH */
	uint64_t handshake_timeout_ms; /* connect + TLS; 0: 10 s */
	/* Server with TLS: sent as it is to a peer that speaks plain HTTP; outlives the conn. May
	 * be STR_NONE. */
	struct str plain_http_reply;
	/* Server: what the peer sent first is looked at before anything is made of it (a
	 * ClientHello; behind a PROXY header), within the handshake's time: on_peek gets none
	 * first, when conn_peer is known, and then all bytes so far each time more came. It calls
	 * conn_peeked once it has seen enough, or closes. `tls` is not used then. NULL: nothing is
	 * peeked. */
	void (*on_peek)(struct conn *c, struct str bytes, void *arg);
	/* List that the conn is on from now until its on_close, also during the handshake, so that
	 * its owner can close what has not opened yet; outlives the conn. NULL: none. */
	struct link *group;
	/* accept: a PROXY header must come first, whole within CONN_PROXY_MS (PP-02); what it says
	 * is conn_peer from then on. The handshake's time runs from accept on. */
	bool proxy_protocol;
	/* Told when conn_peer is known from the header, before TLS and on_open; may close. May be
	 * NULL. */
	void (*on_proxied)(struct conn *c, void *arg);
	void *on_proxied_arg;
	/* connect: sent before anything else, TLS too (PROXY protocol); lives until on_open or
	 * on_close. May be STR_NONE. */
	struct str preamble;
	/* The TLS handshake does not come to its end, because of why (ERR_NONE: this side closes).
	 * Once, before the connection ends; conn_ssl is there, no other function of conn may be
	 * called. May be NULL. */
	void (*on_tls_failed)(struct conn *c, const struct err *why);
	bool duplex; /* reading goes on while the out-queue is over write_high */
};
enum {
	CONN_WRITE_HIGH = 256 * 1024,
	CONN_HANDSHAKE_MS = 10 * 1000,
	CONN_PEEK_MAX = 128 * 1024, /* bytes that on_peek may ask to see */
	CONN_LINGER_MS = 2 * 1000,
	CONN_LINGER_BYTES = 64 * 1024,
	CONN_KEY_UPDATES = 100, /* of the peer in a second (TLS-15); more fail the connection */
	CONN_PROXY_MS = 3 * 1000,
	CONN_SHUTDOWN_STALL_MS = 30 * 1000, /* without progress while conn_shutdown sends */
};

/* Takes one pending connection off a listening stream. */
int conn_accept(struct conn **out, struct loop *l, uv_stream_t *listener,
		const struct conn_options *o, struct err *e) must_check;
/* Resolves host (a name on libuv's pool, numeric at once), connects to the first address that
 * answers; each gets an equal share of the time that is left. Errors before the first turn are
 * returned here (on_close does not come then); later ones come as on_close. */
int conn_connect(struct conn **out, struct loop *l, const char *host, uint16_t port,
		 const struct conn_options *o, struct err *e) must_check;

/* Ends peeking: the first `used` bytes are dropped, the rest is what TLS begins with, or, without
 * tls, what on_data gets first. on_open follows. A reference of tls is taken. Only in on_peek.
 * -1: no memory; close it. */
int conn_peeked(struct conn *c, size_t used, SSL_CTX *tls, struct err *e) must_check;
/* Goes on with a TLS handshake that a callback of the SSL_CTX paused (client_hello_cb returned
 * SSL_CLIENT_HELLO_RETRY, or cert_cb returned -1); the callback is called again, later. Does
 * nothing on any other connection. */
void conn_handshake_resume(struct conn *c);
/* The connection of an SSL, in a callback of its SSL_CTX. The SSL's app data belongs to conn. */
struct conn *conn_of_ssl(const SSL *ssl);

/* Replaces events and argument: hand-over from one protocol layer to the next. */
void conn_set_events(struct conn *c, const struct conn_events *events, void *arg);
void conn_read_start(struct conn *c);
/* Bytes that were read already are kept and given after the next conn_read_start. */
void conn_read_stop(struct conn *c);
/* Queues a copy of bytes. Ignored on a closing connection. Never calls back. */
void conn_write(struct conn *c, struct str bytes);
/* Gives the kernel what it takes now, not only at the end of the turn. Never calls back. */
void conn_flush(struct conn *c);
/* Bytes accepted and not yet given to the kernel. */
size_t conn_queued(const struct conn *c);
bool conn_over_high(const struct conn *c);
/* Sends what is queued, then close_notify and FIN; reading goes on until the peer ends or the
 * linger time passes, then the connection closes (lingering close, at most 64 KiB or 2 s of input
 * is read and dropped). */
void conn_shutdown(struct conn *c);
/* Sends what is queued, then close_notify and FIN, and goes on reading: on_data and on_eof come as
 * before. What is written from now on is ignored. The connection ends by conn_shutdown or
 * conn_close, whatever the peer does. Only on an open connection. Safe twice. */
void conn_half_close(struct conn *c);
/* Whether on_eof came, or would have. */
bool conn_at_eof(const struct conn *c);
/* Reading goes on while the out-queue is over write_high: for owners that copy between two
 * connections and so bound each queue by not reading from the other. */
void conn_set_duplex(struct conn *c);
/* As conn_close, but a plain peer sees a reset instead of an end: what it got is not all. A TLS
 * peer sees that from the missing close_notify. */
void conn_abort(struct conn *c);
/* Closes now, queued bytes are lost. Safe at any moment, also twice. */
void conn_close(struct conn *c);
/* conn_close for every conn on a group's list. */
void conn_close_group(struct link *group);
/* As conn_close with a reason that on_close will get. */
void conn_fail(struct conn *c, const struct err *why);
/* Closes with ERR_TIMEOUT when nothing was read or written for ms; 0 turns it off. */
void conn_idle_timeout(struct conn *c, uint64_t ms);
/* Closes with ERR_TIMEOUT when the peer took nothing of what is queued for ms; 0 turns it off. */
void conn_stall_timeout(struct conn *c, uint64_t ms);
/* on_wake comes once, in ms or a little later, in place of one that was asked for before: the
 * connection's timer serves its user too. 0 takes it back. None comes after conn_shutdown. */
void conn_wake(struct conn *c, uint64_t ms);

/* NULL on plain connections. */
SSL *conn_ssl(struct conn *c);
/* "h2", "http/1.1" or empty. */
struct str conn_alpn(const struct conn *c);
/* Who the connection comes from: the TCP peer, or who its PROXY header names. */
const struct addr *conn_peer(const struct conn *c);
/* The TCP peer: what trust in the connection itself is decided by (PP-10). */
const struct addr *conn_tcp_peer(const struct conn *c);
const struct addr *conn_local(const struct conn *c);
/* Where the client meant to go: the local address, or the destination in its PROXY header. */
const struct addr *conn_destination(const struct conn *c);
struct loop *conn_loop(struct conn *c);
/* gone is called right before on_close, once, with its reason, whoever owns the events then: for
 * whoever counts connections. NULL takes it back. */
void conn_on_gone(struct conn *c, void (*gone)(struct conn *c, const struct err *why, void *arg),
		  void *arg);

#endif
