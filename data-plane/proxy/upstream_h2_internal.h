/* What the files of upstream_h2 share; nobody else includes it. owner: the connection, thread: the
 * worker. */
#ifndef CARDEA_PROXY_UPSTREAM_H2_INTERNAL_H
#define CARDEA_PROXY_UPSTREAM_H2_INTERNAL_H

#include "common/http/h2.h"
#include "data-plane/proxy/upstream_internal.h"

/* A connection's HTTP/2. owner: its upstream_conn until deinit, then its timer. */
struct h2_side {
	struct upstream_conn *conn;
	struct loop *loop;
	struct h2 *h2;
	struct deferred due; /* frames wait to be emitted */
	struct timer timer;  /* runs while calls are open */
	uint64_t timer_at;   /* loop time at which it fires; 0: it does not run */
	uint64_t heard_at;   /* loop time of the last bytes */
	uint64_t ping_at;    /* when a PING was sent that was not answered; 0: none */
	struct link streams; /* struct h2_call.link: all */
	struct link unsent;  /* struct h2_call.unsent: the head was not emitted yet */
	bool busy;	     /* h2_feed or h2_emit runs */
	bool goaway;	     /* the upstream takes no more */
};

/* A call's. */
struct h2_call {
	struct h2_stream h2;	    /* first: streams are found by it */
	struct upstream_call *call; /* not to be touched once the connection is CLOSING */
	struct link link, unsent;
	uint64_t moved_at; /* loop time of the last progress in either direction */
	uint64_t taken;	   /* body bytes that had been emitted then */
};

/* upstream_h2.c */
uint64_t h2_side_now(const struct h2_side *d);
/* The stream of c is no call's any more; it is reset unless it is closed. */
void h2_side_drop(struct h2_side *d, struct upstream_call *c, uint32_t reset);
/* From an event: the call ends, and its stream as in h2_side_drop. Calls back. */
void h2_side_end(struct upstream_call *c, enum upstream_failure failure, const struct err *why,
		 uint32_t reset, const struct http_fields *trailers);
/* Frames into the connection as far as it has room. Calls back. */
void h2_side_emit(struct h2_side *d);

/* upstream_h2_time.c */
/* The timer's. */
void h2_time_fire(struct timer *t);
/* The timer fires at this loop time at the latest. */
void h2_time_want(struct h2_side *d, uint64_t at);
/* Milliseconds until something may be overdue. */
uint64_t h2_time_shortest(const struct upstream_call *c);

#endif
