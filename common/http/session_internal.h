/* What the files of session share; nobody else includes it.
 *
 *                   ┌─ h2 by ALPN ─────────────────────────────▶ H2 ──┐
 *     OPENING ──────┼─ plain, http2 offered ─▶ SNIFF ─preface──▶ H2   ├─▶ LINGER ─▶ CLOSED
 *                   │                            └─────────────▶ H1 ──┘   (conn_shutdown; input is
 *                   └─ else ───────────────────────────────────▶ H1       dropped)
 *     (from every state) ─▶ CLOSED: conn_close was called or on_close came
 *
 * Who calls whom: everything that comes from outside (conn, deferred) is between
 * session_enter and session_leave. The outermost leave runs the session: output goes to the conn,
 * then what is due is told (on_drain, on_end), until nothing is left. A call of exchange_* from
 * elsewhere sends its output at once but only marks what is due; the end of the turn tells it. So a
 * handler is never called from inside its own call, and an exchange lives until on_end returned.
 */
#ifndef CARDEA_HTTP_SESSION_INTERNAL_H
#define CARDEA_HTTP_SESSION_INTERNAL_H

#include "common/core/sm.h"
#include "common/http/h1_parse.h"
#include "common/http/h1_write.h"
#include "common/http/h2.h"
#include "common/http/session.h"

enum session_state {
	SESSION_OPENING,
	SESSION_SNIFF,
	SESSION_H1,
	SESSION_H2,
	SESSION_LINGER,
	SESSION_CLOSED,
	SESSION_STATES,
};

/*   SPARE ─▶ HEAD (being received) ─▶ OPEN (the handler knows it) ─▶ ENDED (on_end is due) ─▶ SPARE
 */
enum exchange_state {
	EXCHANGE_SPARE,
	EXCHANGE_HEAD,
	EXCHANGE_OPEN,
	EXCHANGE_ENDED,
	EXCHANGE_STATES,
};

enum {
	SESSION_WRITE_HIGH = 128 << 10,
	SESSION_BATCH = 32 << 10, /* output is given to the conn in pieces of about this */
	SESSION_BATCH_KEPT = 64 << 10,
	SESSION_SPARES = 256,	       /* exchanges kept per server */
	SESSION_WINDOW = 64 << 10,     /* HTTP/1: unconsumed body bytes above which reading stops */
	SESSION_PENDING = 64 << 10,    /* HTTP/1: input kept behind a request */
	SESSION_DROP_BYTES = 64 << 10, /* body read and dropped after the answer, H1-25 */
	SESSION_DROP_MS = 2000,
	SESSION_NOTICE_MS = 1000, /* between the two GOAWAYs of a drain, H2-19 */
	SESSION_RATE_AFTER_MS = 20000,
	SESSION_BODY_RATE = 500,  /* bytes per second */
	SESSION_WRITE_RATE = 200, /* bytes per second */
	SESSION_OWN_FIELDS = 4,	  /* that a session adds to an answer, at most */
};
#define SESSION_NEVER UINT64_MAX

/* Watches one direction of output: too little taken in one window of time is a stall. */
struct stall {
	uint64_t since_ms; /* 0: nothing was waiting */
	uint64_t taken;	   /* at that time */
	uint64_t waiting;  /* at that time */
};

struct exchange {
	struct session *session;
	struct link link; /* session.live, session.ended or http_server.spares, by state */
	struct link due;  /* session.drained */
	enum exchange_state state;
	const struct http_handler *handler;
	void *arg;
	void *user;
	struct http_request request;
	struct arena arena;
	struct err why;
	struct h2_stream stream;  /* HTTP/2 */
	struct h1_parser *parser; /* HTTP/1; kept with a spare exchange, so that an idle
				     connection has none */
	uint64_t started_ms;	  /* first byte of the head; later: of the body */
	uint64_t body_ms;	  /* last body byte */
	uint64_t answer_ms;	  /* last byte of the answer, while the request goes on */
	uint64_t silence_ms;	  /* 0: no limit */
	uint64_t body_bytes;
	uint64_t dropped;     /* body bytes after the answer */
	uint64_t dropping_ms; /* HTTP/1: since when; 0: not */
	uint64_t unconsumed;  /* HTTP/1 with manual_window */
	int64_t owed;	      /* HTTP/2: bytes that content-length still promises; -1: unknown */
	struct stall stall;
	bool request_done;
	unsigned status; /* of the final head; 0: none was sent */
	bool responded;	 /* it was */
	bool response_done;
	bool silent;	  /* the session answers by itself: the handler only gets on_end */
	bool continued;	  /* 100 was sent or is not needed */
	bool no_body;	  /* HTTP/2: HEAD, 204, 304 */
	bool waiting;	  /* exchange_write returned false */
	bool was_open;	  /* the handler knows it */
	bool te_trailers; /* HTTP/2 */
};

/* What HTTP/1 and HTTP/2 do differently. */
struct session_protocol {
	void (*input)(struct session *s, struct str bytes);
	void (*eof)(struct session *s);
	/* Moves output to the conn as far as it has room. */
	void (*flush)(struct session *s);
	/* After exchanges ended; true when something was done. */
	bool (*next)(struct session *s);
	void (*drain)(struct session *s);
	/* Ends what took too long. */
	void (*check)(struct session *s);
	/* When to check again. */
	uint64_t (*deadline)(const struct session *s);
	void (*deinit)(struct session *s);
	int (*respond)(struct exchange *x, const struct http_response *r, bool end, struct err *e);
	int (*write)(struct exchange *x, struct str bytes, bool last, bool *room, struct err *e);
	int (*trailers)(struct exchange *x, const struct http_fields *fields, struct err *e);
	/* fields may be NULL. */
	int (*interim)(struct exchange *x, unsigned status, const struct http_fields *fields,
		       struct err *e);
	const struct http_fields *(*request_trailers)(const struct exchange *x);
	bool (*te_trailers)(const struct exchange *x);
	/* May be NULL: there is no upgrade. */
	struct str (*upgrade)(const struct exchange *x);
	/* Sends 101; *left as for exchange_switch. */
	int (*take)(struct exchange *x, const struct http_response *r, struct str *left,
		    struct err *e);
	void (*abort)(struct exchange *x);
	void (*consumed)(struct exchange *x, size_t n);
	/* Both halves may be finished now. */
	void (*progress)(struct exchange *x);
	/* on_end was told: x is about to be used again. */
	void (*release)(struct exchange *x);
};

struct session {
	struct http_server *server;
	struct conn *conn;			 /* NULL: session_give */
	const struct session_protocol *protocol; /* from H1 and H2 on */
	struct link link;			 /* http_server.sessions */
	struct link live;
	struct link ended;
	struct link drained;
	struct deferred due;
	uint64_t armed_ms; /* when the conn wakes the session; SESSION_NEVER */
	uint64_t opened_ms;
	uint64_t active_ms; /* last byte in */
	uint64_t now_ms;
	enum session_state state;
	unsigned entered;
	unsigned requests;
	struct buf out; /* HTTP/1 output of this turn; borrowed from the server */
	uint64_t given; /* bytes given to the conn */
	struct stall stall;
	size_t preface; /* SNIFF: bytes of the preface so far */
	bool draining;
	bool gone; /* on_close came */
	union {
		struct {
			struct h1_writer writer;
			struct exchange *current; /* NULL between requests */
			struct buf pending;	  /* bytes behind the current request, from at on */
			size_t at;
			bool close; /* no more requests after this one */
			uint64_t
				leave_ms; /* an idle connection ends then: drain; 0: not draining */
			bool eof;
			bool stopped; /* reading */
		} h1;
		struct {
			struct h2 *h2;
			uint64_t goaway_ms; /* second step of the drain; 0: none */
			uint64_t ping_ms;   /* when a PING went out; 0: none is open */
		} h2;
	} u;
};

/* session.c */
void session_move(struct session *s, enum session_state to);
void session_enter(struct session *s);
void session_leave(struct session *s);
/* After output or marks: sends, and has what is due told at the end of the turn. */
void session_touched(struct session *s);
/* Moves bytes to the conn. */
void session_send(struct session *s, struct str bytes);
void session_borrow(struct session *s, struct buf *b);
void session_return(struct session *s, struct buf *b);
/* The connection is somebody else's from now on; what is queued was given to it. */
struct conn *session_give(struct session *s);
/* No more input; what is queued is sent. Exchanges that are not finished end with why. */
void session_shutdown(struct session *s, const struct err *why);
void session_close(struct session *s, const struct err *why);
void session_rejected(struct session *s, const char *reason);
bool session_overloaded(const struct session *s);
uint64_t session_clock(void);
/* Date's value, of this second. */
struct str session_date(struct http_server *server);

/* session_time.c */
/* Fills in the defaults. */
void session_limits(struct http_limits *l);
/* How often something that goes on is looked at. */
uint64_t session_tick(const struct http_limits *l);
/* Whether what waits moved too slowly. taken: bytes out in total; waiting: queued now. */
bool stall_check(struct stall *st, uint64_t now, uint64_t limit, uint64_t taken, uint64_t waiting);
/* The connection as a whole; true: it was closed. */
bool session_write_stalled(struct session *s);
/* Body idle and rate. */
bool exchange_body_late(const struct exchange *x);
/* Of a stream both ways. */
bool exchange_is_silent(const struct exchange *x);

/* exchange.c */
/* A new exchange in state HEAD on s->live, or NULL when out of memory. */
struct exchange *exchange_take(struct session *s);
void exchange_move(struct exchange *x, enum exchange_state to);
/* The head is complete: counts it, and gives it to the handler. */
void exchange_open(struct exchange *x);
/* As exchange_open, but the session answers. */
void exchange_refuse(struct exchange *x, unsigned status, const char *reason);
/* Body bytes or, with last, the end of the request. */
void exchange_body(struct exchange *x, struct str bytes, bool last);
void exchange_drained(struct exchange *x);
/* on_end becomes due; why NULL: finished. Does nothing on an ended one. */
void exchange_end(struct exchange *x, const struct err *why);
/* Calls on_end and makes x spare. */
void exchange_tell_end(struct exchange *x);
/* The session answers a request that broke a rule after the handler knew it, or aborts when the
 * handler has answered; why is for on_end. */
void exchange_reject(struct exchange *x, unsigned status, const char *reason,
		     const struct err *why);
/* Aborts it for exchange_is_silent. */
void exchange_fell_silent(struct exchange *x);
void exchange_free(struct exchange *x);

/* session_h2_head.c */
/* The fields to send, into out, which has some room already; their text is in the arena. final: not
 * an interim answer. ERR_INVALID: a field that may not be sent. */
int session_h2_head(struct exchange *x, const struct http_response *r, bool final,
		    struct http_fields *out, struct err *e) must_check;

/* What a session does in state H1 and in H2. */
extern const struct session_protocol session_h1;
extern const struct session_protocol session_h2;
/* Makes the state of the protocol; before session.protocol is set. */
void session_h1_start(struct session *s);
/* As session_h1_start; ERR_MEMORY. */
int session_h2_start(struct session *s, struct err *e) must_check;

#endif
