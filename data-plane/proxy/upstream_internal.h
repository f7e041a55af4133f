/* What the files of upstream_call share; nobody else includes it.
 *
 *     upstream_pool.c  groups (one per endpoint), connections and their states
 *     upstream_call.c  calls: what the user asks for, and what the user is told
 *     upstream_h1.c, upstream_h2.c: a protocol on a connection, behind struct upstream_protocol
 *
 *     A connection:  CONNECTING ─▶ BUSY ⇄ IDLE
 *                        └──────────┴──────┴──▶ CLOSING (conn_close was called) ─▶ freed by
 * on_close
 *
 *     A call:        WAITING ─▶ READY ─▶ SENT ─▶ ENDED (on_end is due, or was told) ─▶ SPARE
 *                    on u->calls from WAITING on: also while its connection connects
 *
 * Who calls back: everything that comes from a connection may call the user directly. A call of
 * upstream_call_* marks (c->due) and the end of the turn tells. A user may close its call inside
 * any callback: after a callback a protocol looks whether the call is still on its connection
 * (u->calls) before it touches it. A connection lives until its on_close, which never comes from
 * inside a call of ours. */
#ifndef CARDEA_PROXY_UPSTREAM_INTERNAL_H
#define CARDEA_PROXY_UPSTREAM_INTERNAL_H

#include "common/core/map.h"
#include "common/core/sm.h"
#include "common/http/h1_parse.h"
#include "common/http/h1_write.h"
#include "common/http/h2_mem.h"
#include "data-plane/proxy/upstream_call.h"

enum {
	UPSTREAM_WINDOW = 64 << 10, /* unconsumed body bytes above which reading stops */
	UPSTREAM_WRITE_HIGH = 128 << 10,
	UPSTREAM_INTERIM_MAX = 16, /* UP-05 */
	UPSTREAM_HEAD = 64 << 10,  /* UP-01 */
	UPSTREAM_FIELDS = 200,	   /* UP-01 */
	UPSTREAM_KEY_SIZE = 64,
	UPSTREAM_SPARES = 256,	      /* calls kept per pool */
	UPSTREAM_CALLS_DIALING = 100, /* HTTP/2: calls that wait for one connection */
};

enum upstream_conn_state {
	UPSTREAM_CONNECTING, /* 0: how one begins */
	UPSTREAM_BUSY,
	UPSTREAM_IDLE,
	UPSTREAM_CLOSING,
	UPSTREAM_CONN_STATES,
};

enum upstream_call_state {
	CALL_SPARE,
	CALL_WAITING,
	CALL_READY, /* send_head may be called */
	CALL_SENT,
	CALL_ENDED,
	CALL_STATES,
};

struct upstream_conn;

/* How a protocol is spoken on an open connection. A call's end is told to upstream_call_end, a
 * connection's to upstream_conn_end. */
struct upstream_protocol {
	/* Whether several calls run on one connection. */
	bool shared;
	/* The connection is open; sets keep. -1: it cannot be used. */
	int (*open)(struct upstream_conn *u, struct err *e);
	/* Whether one more call can begin; asked of BUSY and IDLE connections. */
	bool (*has_room)(const struct upstream_conn *u);
	/* c, which is on u->calls, may send its head from now on. */
	void (*begin)(struct upstream_call *c);
	void (*input)(struct upstream_conn *u, struct str bytes);
	/* The peer sends no more; upstream_conn_end follows if this does not call it. */
	void (*eof)(struct upstream_conn *u);
	/* The out-queue of the connection has room again. */
	void (*drain)(struct upstream_conn *u);
	/* As the calls of upstream_call.h. Never call back: see upstream_call_fail_later. */
	void (*send_head)(struct upstream_call *c, const struct http_request *r, struct str upgrade,
			  bool te_trailers, bool end);
	bool (*write)(struct upstream_call *c, struct str bytes, bool last);
	void (*trailers)(struct upstream_call *c, const struct http_fields *trailers);
	void (*consumed)(struct upstream_call *c, size_t n);
	/* The user gave up, or a failure ends only this call; c leaves u->calls afterwards, and the
	 * connection is then closed when it is empty and not to be kept. */
	void (*cancel)(struct upstream_call *c);
	/* The connection is gone; no call is on it. */
	void (*deinit)(struct upstream_conn *u);
};
extern const struct upstream_protocol upstream_h1;
extern const struct upstream_protocol upstream_h2;

/* Everything of one endpoint. owner: the pool; goes with its last connection. */
struct upstream_group {
	struct upstream_pool *pool;
	struct endpoint endpoint; /* proxy_header: STR_NONE */
	struct link idle;	  /* struct upstream_conn.link, last used first */
	struct link busy;	  /* the others, also connecting and closing */
	unsigned idle_count, busy_count, connecting_count;
	size_t key_len;
	char key[UPSTREAM_KEY_SIZE];
};

struct upstream_conn {
	struct upstream_group *group;
	struct upstream_pool *pool;
	struct link link;  /* group.idle or group.busy */
	struct conn *conn; /* NULL: gone, or given away */
	const struct upstream_protocol *protocol;
	enum upstream_conn_state state;
	struct link calls; /* struct upstream_call.link */
	unsigned call_count;
	unsigned served;	 /* calls that began */
	bool private;		 /* has a PROXY header: never used by another call (PP-09) */
	bool opened;		 /* protocol->open was there */
	bool keep;		 /* may be used again when no call is on it */
	struct str left;	 /* while on_switch runs: what came behind the head */
	struct upstream_end end; /* CLOSING: what the calls on it get */
	union {
		struct {
			struct h1_parser parser;
			struct h1_writer writer;
			bool stopped; /* reading */
		} h1;
		void *h2;
	} u;
};

struct upstream_call {
	struct upstream_pool *pool;
	struct upstream_conn *conn; /* NULL: ended, or could not begin */
	struct link link;	    /* upstream_conn.calls or upstream_pool.spares */
	struct deferred due;	    /* on_ready or on_end */
	enum upstream_call_state state;
	struct addr addr;
	const struct upstream_call_events *events;
	void *arg;
	struct arena *arena;
	uint64_t write_ms, read_ms;
	struct http_response response;
	struct str upgrade; /* asked for; lives as the request */
	bool head_only;	    /* HEAD */
	size_t unconsumed;
	unsigned interims;
	bool request_done; /* its last byte was given to the connection */
	bool waiting;	   /* write returned false */
	bool head_told;
	struct upstream_end end; /* sent, answered and reused are kept up to date */
	void *state_of;		 /* of the protocol (HTTP/2) */
};

struct upstream_pool {
	struct upstream_pool_options options;
	struct map groups;
	struct link spares; /* calls to use again */
	unsigned spare_count;
	struct buf scratch; /* heads are written here */
	struct h2_mem h2_mem;
	bool freed;
};

/* upstream_pool.c */
void upstream_conn_move(struct upstream_conn *u, enum upstream_conn_state to);
/* Finds or makes a connection for c and puts c on its calls: READY when it could begin at once.
 * failure: why not. */
int upstream_pool_attach(struct upstream_pool *p, struct upstream_call *c,
			 const struct upstream_call_options *o, enum upstream_failure *failure,
			 struct err *e) must_check;
/* c leaves its connection, which becomes idle, serves its other calls on, or is closed. */
void upstream_pool_detach(struct upstream_call *c);
/* Closes it: its calls are told from on_close. */
void upstream_conn_close(struct upstream_conn *u, enum upstream_failure failure,
			 const struct err *why);

/* Gives the connection away: u goes when its on_data returns. */
struct conn *upstream_conn_give(struct upstream_conn *u);

/* upstream_call.c */
void upstream_call_move(struct upstream_call *c, enum upstream_call_state to);
/* The connection of c is open. Calls back. */
void upstream_call_ready(struct upstream_call *c);
/* Ends c and tells the user at once: only from a connection's event. Leaves the connection. */
void upstream_call_end(struct upstream_call *c, enum upstream_failure failure,
		       const struct err *why, const struct http_fields *trailers);
/* The same, told at the end of the turn. The connection is left at once. */
void upstream_call_fail_later(struct upstream_call *c, enum upstream_failure failure,
			      const struct err *why);
/* write may be called again. Calls back. */
void upstream_call_drained(struct upstream_call *c);

#endif
