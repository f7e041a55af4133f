/* What the files of conn share; nobody else includes it.
 *
 *     accept, TLS ─────────────────────────────▶ handshaking ──▶ open ──▶ flushing ──▶ lingering
 *     accept, plain ─▶ opening ─────────────────────────────────▶ │           │            │
 *     accept, PROXY ─▶ proxied ──▶ peeking, handshaking or open   │           │            │
 *     accept, to peek ─▶ peeking ─▶ opening or handshaking        │           │            │
 *     connect ─▶ resolving ─▶ connecting ⇄ redialing              │           │            │
 *                                 └──▶ handshaking or open        ▼           ▼            ▼
 *                                              (from every state) closing ◀── ┴ ────────── ┘
 */
#ifndef CARDEA_NET_CONN_INTERNAL_H
#define CARDEA_NET_CONN_INTERNAL_H

#include "common/core/sm.h"
#include "common/net/conn.h"
#include "common/net/pool.h"

enum conn_state {
	CONN_NEW,
	CONN_RESOLVING,	  /* getaddrinfo runs on the pool */
	CONN_CONNECTING,  /* one address is tried */
	CONN_REDIALING,	  /* the handle of a failed try is closing; the next address comes then */
	CONN_PEEKING,	  /* the first bytes are looked at; they stay in `kept` */
	CONN_OPENING,	  /* accepted without TLS: on_open comes at the end of the turn */
	CONN_PROXIED,	  /* accepted: the PROXY header is awaited */
	CONN_HANDSHAKING, /* TLS; may be paused by a callback of the context */
	CONN_OPEN,
	CONN_FLUSHING,	/* conn_shutdown: the out-queue goes out, then FIN; input is dropped */
	CONN_LINGERING, /* FIN was sent; input is dropped until the peer ends */
	CONN_CLOSING,	/* handles are closing; on_close and free come with the last */
	CONN_STATES,
};

/* What only an outgoing connection needs, and only until it is connected. */
struct dial {
	uv_getaddrinfo_t resolve;
	uv_connect_t connect;
	struct conn *conn;
	struct addrinfo *list; /* of getaddrinfo; NULL for a numeric host */
	struct addrinfo *next; /* to be tried next */
	uint64_t try_until;    /* loop time: then this try is given up */
	uint16_t port;
	bool resolving; /* the request is with libuv */
	char host[256];
};

/* What only a connection behind a PROXY header needs. */
struct proxied {
	void (*on_proxied)(struct conn *c, void *arg);
	void *arg;
	struct addr tcp_peer, destination;
	size_t len;
	char bytes[]; /* PROXY_HEADER_MAX while the header is awaited, then none */
};

struct conn {
	uv_tcp_t tcp;
	uv_timer_t timer;
	struct deferred due; /* open, kept input: what is done at the end of the turn */
	struct deferred
		flush; /* the out-queue goes to the kernel then, behind all that may write */
	struct loop *loop;
	struct link group;		  /* conn_options.group */
	const struct conn_events *events; /* NULL: nobody wants to know (a failed accept) */
	void *arg;
	void (*gone)(struct conn *c, const struct err *why, void *arg); /* conn_on_gone */
	void *gone_arg;
	struct dial *dial;
	struct proxied *proxied; /* NULL: without a PROXY header */
	SSL *ssl;
	enum conn_state state;
	unsigned closing_left; /* handles and requests that still call back */

	bool want_read; /* the user's wish */
	bool reading;	/* uv_read_start is on */
	bool over_high; /* the out-queue went over write_high and has not come below half */
	bool writing;	/* a uv_write_t is with libuv */
	bool eof;	/* the peer sent FIN or close_notify */
	bool paused;	/* handshake: a callback of the context asked to wait */
	bool resume;	/* conn_handshake_resume was called */
	bool shut_done; /* FIN was sent */
	bool half;	/* conn_half_close was called */
	bool abort;	/* closing resets */
	bool server;
	bool duplex;
	bool unexplained; /* it failed, and there was no memory for `why` */

	struct str input;	/* bytes not yet taken: in the pool's read buffer or in `kept` */
	struct buf kept;	/* input that came while nobody wanted it */
	size_t dropped;		/* bytes dropped since conn_shutdown */
	struct chunk *plain;	/* TLS: bytes that are not encrypted yet */
	struct chunk *out_head; /* the out-queue */
	struct chunk *out_tail;
	size_t out_len;
	size_t in_flight; /* of out_len: with libuv */
	size_t write_high;

	uint64_t deadline;  /* loop time: of the handshake, or of lingering */
	uint64_t active_at; /* loop time of the last byte read or written */
	uint64_t idle_ms;
	uint64_t stall_ms;
	uint64_t moved_at; /* loop time since which the out-queue has not become shorter */
	uint64_t wake_at;  /* loop time at which the user wants on_wake; 0: it does not */
	uint64_t timer_at; /* loop time at which the timer fires; 0: it is not running */
	uint64_t handshake_ms;
	uint64_t key_updates_from; /* loop time: they are counted from here on, for a second */
	unsigned key_updates;

	void (*on_peek)(struct conn *c, struct str bytes, void *arg);
	void (*on_tls_failed)(struct conn *c, const struct err *why);
	struct str plain_http_reply;
	struct str preamble;
	char *server_name;
	struct addr peer;
	struct addr local;
	struct err *why; /* NULL: none; a connection that lives on has none */
};

/* conn.c */
void conn_move(struct conn *c, enum conn_state to);
struct conn *conn_new(struct loop *l, const struct conn_options *o, struct err *e);
/* Takes back a conn that was never given to the user: no on_close. */
void conn_discard(struct conn *c);
/* TCP is there: addresses are read, TLS or on_open follows. Calls back. */
void conn_established(struct conn *c);
/* Accepted and known: TLS or on_open follows, now. Calls back. */
void conn_begin(struct conn *c);
void conn_opened(struct conn *c);
void conn_peer_ended(struct conn *c);
/* One of the counted handles or requests is gone. */
void conn_one_closed(struct conn *c);
void conn_finish(struct conn *c, const struct err *why);
void conn_tcp_closed(uv_handle_t *h);
/* Fails with kind and "what ADDRESS: text of the uv error". */
void conn_fail_uv(struct conn *c, int status, const char *what);

/* conn_io.c */
int out_add(struct conn *c, const char *bytes, size_t n);
void out_flush(struct conn *c);
void out_drop(struct conn *c);
/* FIN, now: the queue is empty. A uv error. */
int out_shutdown(struct conn *c);
/* After the queue became shorter, in a callback of the loop: drain, end of shutdown. Calls back. */
void out_progress(struct conn *c);
void input_update(struct conn *c);
/* Gives what was kept. Calls back. */
void input_resume(struct conn *c);
bool input_wanted(const struct conn *c);
void conn_deliver(struct conn *c, struct str bytes);
/* Starts the timer for what the state waits for, when it would fire too late. */
void conn_timer_update(struct conn *c);

/* conn_half.c */
/* In OPEN, after conn_half_close, with nothing queued: FIN. */
void half_progress(struct conn *c);

/* conn_peek.c */
/* Shows that nothing came yet. Calls back. */
void peek_begin(struct conn *c);
/* Takes c->input while peeking. Calls back. */
void peek_take(struct conn *c);
void peek_tcp_end(struct conn *c);

/* conn_dial.c */
/* The next address, now that the handle of the failed try is closed. */
void dial_next(struct conn *c);
void dial_timeout(struct conn *c);
void dial_cancel(struct conn *c);
void dial_free(struct conn *c);

/* conn_proxy.c */
int proxied_attach(struct conn *c, const struct conn_options *o, struct err *e);
/* Takes from c->input what belongs to the header; goes on when it is whole. Calls back. */
void proxied_input(struct conn *c);

/* conn_tls.c */
int tls_attach(struct conn *c, SSL_CTX *ctx, struct err *e);
/* Goes on with the handshake, or decrypts. Takes from c->input. Calls back. */
void tls_handshake(struct conn *c);
void tls_read(struct conn *c);
/* Bytes of a turn are encrypted together, so that small pieces share a record: by tls_flush, or
 * when a record is full. */
void tls_write(struct conn *c, struct str bytes);
void tls_flush(struct conn *c);
void tls_close_notify(struct conn *c);

#endif
