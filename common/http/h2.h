/* One HTTP/2 connection as events, without a socket: bytes in by h2_feed, bytes out by h2_emit.
 * Wraps nghttp2; both roles.
 *
 * A stream's life:
 *
 *     server:  on_begin ─▶ on_head ─▶ on_data* ─▶ on_end        h2_respond ─ h2_write* (last)
 *     client:  h2_request            ─▶ on_head ─▶ on_data* ─▶ on_end     h2_write* (last)
 *                      └────────────── on_close(code) at any moment, exactly once ──▶
 *
 * Events come only from inside h2_feed and h2_emit. They may call every function here but those two
 * and h2_free. owner: the connection, thread: its loop. */
#ifndef CARDEA_HTTP_H2_H
#define CARDEA_HTTP_H2_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/list.h"
#include "common/http/msg.h"

struct h2;
struct h2_mem;

enum {
	H2_WINDOW = 65535, /* per stream, what we buffer of a body */
	H2_CONNECTION_WINDOW = 1 << 20,
	H2_STREAM_HIGH = 64 << 10, /* queued body bytes per stream: back-pressure above */
	H2_HELD_MAX = 1 << 20,	   /* decoded fields of all live streams */
};

/* Embedded by its owner; lives from on_begin or h2_request until on_close (or h2_free). */
struct h2_stream {
	int32_t id;	     /* read */
	struct arena *arena; /* set: holds heads and trailers; needs nothing else */

	/* What the peer sent, read from on_head on. Server: the four pseudo-fields; client: status.
	 */
	struct str method;
	struct str scheme;
	struct str authority;
	struct str path;
	unsigned status;
	int64_t content_length; /* -1: none */
	struct http_fields fields;
	struct http_fields trailers; /* from on_end on */
	const char *too_large; /* the limit that the head broke; its fields are not complete */

	struct buf out;		      /* private: body to send from out_at on */
	size_t out_at;		      /* private */
	size_t held;		      /* private: decoded bytes */
	size_t block;		      /* private: of the block being read */
	uint64_t taken;		      /* read: body bytes emitted so far */
	size_t unconsumed;	      /* private: body bytes that the window has not got back */
	struct http_fields *trailing; /* private: trailers to send */
	unsigned count;		      /* private: fields seen */
	bool head_done;		      /* private */
	bool head_sent;		      /* read: client: the peer may have seen the request */
	bool remote_ended;	      /* read: nothing more comes */
	bool last;		      /* private: out is complete */
	bool deferred;		      /* private: nghttp2 waits for h2_write */
	bool over_high;		      /* private */
	bool closed;		      /* read */
	bool reset_after;	      /* private: RST(NO_ERROR) once our side ended */
	bool own_reset;		      /* private: h2_reset was called */
	bool local_ended;	      /* private: END_STREAM was sent */
	struct link draining;	      /* private: on_drain is due */
};

struct h2_events {
	/* Server only: the peer opens a stream. Returns an initialised h2_stream, or NULL:
	 * REFUSED_STREAM. */
	struct h2_stream *(*on_begin)(struct h2 *h, void *arg);
	/* Head complete. */
	void (*on_head)(struct h2 *h, struct h2_stream *s, void *arg);
	/* The bytes count against the window until h2_consumed. */
	void (*on_data)(struct h2 *h, struct h2_stream *s, struct str bytes, void *arg);
	/* The peer's side ended; trailers are there. Also right after on_head. */
	void (*on_end)(struct h2 *h, struct h2_stream *s, void *arg);
	/* The queue fell below half of H2_STREAM_HIGH after h2_write returned false. */
	void (*on_drain)(struct h2 *h, struct h2_stream *s, void *arg);
	/* Last event of a stream. code 0: both sides ended or RST(NO_ERROR). */
	void (*on_close)(struct h2 *h, struct h2_stream *s, uint32_t code, void *arg);
	/* The peer will take no more streams. May be NULL. */
	void (*on_goaway)(struct h2 *h, uint32_t code, void *arg);
	/* Answer to h2_ping. May be NULL. */
	void (*on_pong)(struct h2 *h, void *arg);
	/* This side refused something: a row of reliability-goals or an error code's name. May be
	 * NULL. */
	void (*on_rejected)(struct h2 *h, const char *reason, void *arg);
	/* Client: an interim answer (1xx): status and fields, until the call returns. May be NULL.
	 */
	void (*on_interim)(struct h2 *h, struct h2_stream *s, void *arg);
};

struct h2_options {
	bool server;
	size_t field;	  /* name + value; 0: 16 KiB */
	size_t head;	  /* sum of name + value + 32; 0: 32 KiB; over 4x ends the connection */
	unsigned fields;  /* 0: 100 */
	unsigned streams; /* server: concurrent; 0: 128 */
	uint32_t window;  /* per stream; 0: H2_WINDOW */
	/* Client: one request goes out before the peer's limit is known, the others wait for it:
	 * what was beyond it would be refused. */
	bool patient;
	struct h2_mem *mem; /* shared by the owner's connections; NULL: malloc's */
	const struct h2_events *events;
	void *arg;
};

/* now_ms: any clock that only goes forward. The peer's settings go out with the first h2_emit. */
int h2_create(struct h2 **out, const struct h2_options *o, uint64_t now_ms,
	      struct err *e) must_check;
/* Open streams get no on_close. NULL is fine. */
void h2_free(struct h2 *h);

/* -1: the connection is over (a limit, or not HTTP/2 at all): send what h2_emit still gives, then
 * close. After nghttp2's own connection errors h2_finished says so instead. */
int h2_feed(struct h2 *h, struct str bytes, uint64_t now_ms, struct err *e) must_check;
/* Appends up to about max bytes to out; call again while it appended something and there is room.
 */
int h2_emit(struct h2 *h, struct buf *out, size_t max, struct err *e) must_check;
/* Whether h2_emit may have something to give. */
bool h2_wants_write(const struct h2 *h);
/* GOAWAY was sent or received and no stream is left: close. */
bool h2_finished(const struct h2 *h);

/* Zeroes and sets the arena; keeps the memory of a body queue from earlier use. */
void h2_stream_init(struct h2_stream *s, struct arena *arena);
/* Frees the queue's memory. Not while open. */
void h2_stream_deinit(struct h2_stream *s);

/* Client: opens a stream. fields begin with the pseudo-fields. end: no body. */
int h2_request(struct h2 *h, struct h2_stream *s, const struct http_fields *fields, bool end,
	       struct err *e) must_check;
/* Server: the final head; fields begin with :status, names are in lower case. Their strings are not
 * copied: they live until on_close, or h2_detach. */
int h2_respond(struct h2 *h, struct h2_stream *s, const struct http_fields *fields, bool end,
	       struct err *e) must_check;
/* Server: an interim answer (100). */
int h2_interim(struct h2 *h, struct h2_stream *s, const struct http_fields *fields,
	       struct err *e) must_check;
/* Queues a copy of bytes. *room: false when over H2_STREAM_HIGH. */
int h2_write(struct h2 *h, struct h2_stream *s, struct str bytes, bool last, bool *room,
	     struct err *e) must_check;
/* Ends our side with trailers, copied into the stream's arena. */
int h2_trailers(struct h2 *h, struct h2_stream *s, const struct http_fields *fields,
		struct err *e) must_check;
/* Bytes not yet emitted. */
size_t h2_queued(const struct h2_stream *s);
/* Gives n bytes of window back to the peer. */
void h2_consumed(struct h2 *h, struct h2_stream *s, size_t n);
/* RST_STREAM; on_close follows from h2_emit. Safe on a closed stream. */
void h2_reset(struct h2 *h, struct h2_stream *s, uint32_t code);
/* Forgets an open stream that was reset (a server's is reset now at the latest): no more events of
 * it, its memory is the owner's again. */
void h2_detach(struct h2 *h, struct h2_stream *s);
/* Once our side has ended, RST(NO_ERROR) if the peer's has not (H2-21). */
void h2_reset_after_end(struct h2 *h, struct h2_stream *s);

/* Graceful, first step: GOAWAY with the largest id, nothing is refused yet. Server only. */
void h2_notice(struct h2 *h);
/* GOAWAY with the last stream taken: no new ones from now on. */
void h2_goaway(struct h2 *h);
/* GOAWAY with an error code; the connection is over when it was emitted. */
void h2_terminate(struct h2 *h, uint32_t code);
void h2_ping(struct h2 *h);
unsigned h2_open_streams(const struct h2 *h);
/* Client: how many more streams the peer takes at the moment; none after its GOAWAY. What is asked
 * beyond it waits. */
unsigned h2_room(const struct h2 *h);

#endif
