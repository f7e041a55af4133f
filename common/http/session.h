/* The server side of one HTTP connection, HTTP/1.1 or HTTP/2 (by ALPN, or by the preface on plain
 * h2c listeners), given to the user as exchanges: one request with its response. Used by every
 * listener of both planes.
 *
 * An exchange's life, as its handler sees it:
 *
 *     on_head ──▶ on_body* ──▶ on_body(last) ──▶ on_end
 *        │  respond(head) ── write* ── write(last) at any time from on_head on
 *        └────────────── on_end(why) at any moment: peer gone, limit reached, timeout ──▶ (freed)
 *
 * on_end comes exactly once, when both directions are finished or the exchange was aborted; the
 * exchange and its arena are gone when it returns. A handler that answers later keeps the pointer
 * until on_end. The request's strings live until then. Errors of the protocol (reliability-goals
 * sections 3 and 5) are answered by the session; the handler never sees them. owner: the
 * connection, thread: its loop.
 */
#ifndef CARDEA_HTTP_SESSION_H
#define CARDEA_HTTP_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/http/h2_mem.h"
#include "common/http/msg.h"
#include "common/net/conn.h"
#include "common/net/listener.h"

struct session;
struct exchange;

struct http_handler {
	/* The request head is complete. May respond at once. */
	void (*on_head)(struct exchange *x, void *arg);
	/* Body bytes; the last call has last = true (bytes may be empty). Not called when the
	 * request has no body. Bytes count against the window until exchange_consumed (automatic
	 * unless manual_window). NULL: body is dropped. */
	void (*on_body)(struct exchange *x, struct str bytes, bool last, void *arg);
	/* The response queue has room again after exchange_write returned false. May be NULL. */
	void (*on_drain)(struct exchange *x, void *arg);
	/* Last call. why->kind is ERR_NONE when the whole response was handed to the connection.
	 * May be NULL. */
	void (*on_end)(struct exchange *x, const struct err *why, void *arg);
};

/* Limits of reliability-goals section 2; 0 takes the default written there. */
struct http_limits {
	size_t request_line;		  /* 8 KiB */
	size_t field;			  /* 16 KiB */
	size_t head;			  /* 32 KiB */
	unsigned fields;		  /* 100 */
	uint64_t body;			  /* 0: unlimited; answered 413 */
	unsigned requests_per_connection; /* 1,000 */
	unsigned streams;		  /* HTTP/2 concurrent streams: 128 */
	uint64_t head_ms;		  /* 15,000: the whole head; 408 */
	uint64_t body_idle_ms;		  /* 60,000: longest pause of a request body; 408. Holds
					     until the response head is sent: from then on the
					     exchange may be a stream both ways, see
					     exchange_limit_silence */
	uint64_t idle_ms;		  /* 60,000; HTTP/2: three times as long */
	uint64_t write_idle_ms;		  /* 60,000: the peer must take 200 B/s over this time */
	uint64_t ping_ms;		  /* HTTP/2 with open streams: PING after so much silence,
					     no answer in the same time fails the connection with
					     ERR_TIMEOUT; 0: off */
};

enum { HTTP_SCRATCHES = 32 };

/* One per listener, shared by its sessions; outlives them. */
struct http_server {
	const struct http_handler *handler;
	void *arg; /* given to the handler */
	struct http_limits limits;
	const char *server_header; /* value of `Server`; NULL: none */
	bool http2;		   /* h2 by ALPN, and the preface on plain connections */
	/* More are closed unanswered, and counted as "connections"; 0: no limit. */
	unsigned max_connections;
	bool manual_window;   /* the handler calls exchange_consumed */
	bool manual_continue; /* the handler calls exchange_continue */
	/* An answer that the session itself makes (400, 408, 413, 414, 431, 501, 505 ...): body and
	 * type. NULL: plain text. */
	struct str (*error_body)(unsigned status, struct str *content_type, void *arg);
	/* SL-09: no new work now. Requests of HTTP/1 get 503 with Retry-After and the end of their
	 * connection, HTTP/2 streams REFUSED_STREAM; counted as "overload". NULL: never. */
	bool (*overloaded)(void *arg);
	/* Counts what the session refused: reason is a row id or limit name. May be NULL. */
	void (*on_rejected)(const char *reason, void *arg);
	/* Told of an answer that the session makes to a request which the handler never sees: of
	 * the request only what had come; bytes of the body that is sent. May be NULL. */
	void (*on_refused)(struct exchange *x, unsigned status, size_t bytes, void *arg);
	/* Told of each connection that ended (listener_done), when max_connections is used. May be
	 * NULL. */
	struct listener *listener;
	/* private */
	struct link sessions;
	struct link conns;    /* also those in their handshake */
	struct h2_mem h2_mem; /* of all its HTTP/2 connections; kept until the last session */
	struct link spares;   /* exchanges to use again; freed with the last session */
	struct buf scratch[HTTP_SCRATCHES]; /* for output, lent for a turn */
	unsigned scratch_count;
	int64_t date_s;
	size_t date_len;
	char date[32];
	unsigned session_count;
	unsigned spare_count;
	bool draining;
	bool closed;
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};
void http_server_init(struct http_server *s, const struct http_handler *handler, void *arg);
/* Fills in the events and arg of conn_accept for a new connection of this server (listener's
 * on_accept). ERR_UNAVAILABLE after drain or close, ERR_LIMIT over max_connections. */
int http_server_accept(struct http_server *s, struct conn_options *o, struct err *e) must_check;
/* Finish: HTTP/1 answers with `Connection: close`, HTTP/2 with GOAWAY; idle connections close now.
 */
void http_server_drain(struct http_server *s);
/* Closes every connection now. True: some are still there; closed (may be NULL) is called once,
 * after the last one is gone. False: nothing was open, closed is not called. From then on *s may be
 * freed. */
bool http_server_close(struct http_server *s, void (*closed)(void *arg), void *arg);

/* --- inside an exchange --- */
const struct http_request *exchange_request(const struct exchange *x);
struct arena *exchange_arena(struct exchange *x);
/* Of the final answer that was begun, also when the session gave it by itself (413, 408); 0: none.
 */
unsigned exchange_status(const struct exchange *x);
/* NULL after exchange_switch. */
struct conn *exchange_conn(struct exchange *x);
void exchange_set_user(struct exchange *x, void *user);
void *exchange_user(const struct exchange *x);
/* Replaces the handler for the rest of this exchange: a router that found the real one. */
void exchange_set_handler(struct exchange *x, const struct http_handler *h, void *arg);

/* Sends the response head. Field names in lower case; the session adds Date, Server, framing. With
 * end = true there is no body. HEAD and 204/304 send no body whatever follows. Out of memory aborts
 * the exchange. Call once (1xx: exchange_continue). */
void exchange_respond(struct exchange *x, const struct http_response *r, bool end);
/* Sends body bytes (copied). false: the queue is over its high mark; wait for on_drain (the bytes
 * were taken). */
bool exchange_write(struct exchange *x, struct str bytes, bool last);
/* Ends the body with trailers (gRPC). Fields live until the call returns. */
void exchange_trailers(struct exchange *x, const struct http_fields *trailers);
/* Head, body and end in one call. content_type may be STR_NONE; extra may be NULL. */
void exchange_reply(struct exchange *x, unsigned status, struct str content_type, struct str body,
		    const struct http_fields *extra);
/* 100 Continue, when the client expects it and the handler wants the body. Sent by itself when
 * on_body is set. */
void exchange_continue(struct exchange *x);
/* 102 to 199 but 101, with fields; nothing to HTTP/1.0 clients or after the head. */
void exchange_interim(struct exchange *x, unsigned status, const struct http_fields *fields);
/* Trailers of the request, without what may not be one (H1-29); empty until its body ended. */
const struct http_fields *exchange_request_trailers(const struct exchange *x);
/* Whether the client takes trailers (`TE: trailers`). */
bool exchange_te_trailers(const struct exchange *x);
/* The token of `Upgrade` that the client asked for and may get (H1-33); STR_NONE: none. */
struct str exchange_upgrade(const struct exchange *x);
/* Answers with 101 and gives the connection away: from now on it is the caller's, who sets its
 * events at once. on_end follows, without an error. *left: bytes that came behind the request; they
 * live until the caller returns to the loop. NULL: the client asked for no upgrade, or has an
 * answer; or out of memory, and the exchange was aborted. Not from inside on_head or on_body. */
struct conn *exchange_switch(struct exchange *x, const struct http_response *r, struct str *left);
/* For an answer that may begin before its request has ended: once it has begun and while the
 * request goes on, no byte in either direction for so long aborts the exchange (counted as
 * "silence"). 0, the default: no limit. */
void exchange_limit_silence(struct exchange *x, uint64_t ms);
/* Ends the exchange so that the client sees it is incomplete: close or RST_STREAM(INTERNAL_ERROR).
 */
void exchange_abort(struct exchange *x, const struct err *why);
/* Stops and resumes reading the request body (window). */
void exchange_consumed(struct exchange *x, size_t n);

#endif
