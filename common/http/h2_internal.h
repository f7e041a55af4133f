/* What h2.c (in) and h2_out.c (out) share. Thread: the owner of the session. */
#ifndef CARDEA_HTTP_H2_INTERNAL_H
#define CARDEA_HTTP_H2_INTERNAL_H

#include "common/http/h2.h"
#include "common/http/h2_guard.h"
#include "common/http/h2_index.h"

struct h2 {
	nghttp2_session *session;
	struct h2_options o;
	struct h2_guard guard;
	struct h2_index index;
	struct h2_stream *current; /* whose header block is being read */
	struct buf *out;	   /* set during h2_emit */
	size_t out_max;		   /* h2_emit pauses when out->len reaches it */
	struct link draining;	   /* h2_stream.draining */
	size_t held;		   /* decoded bytes of all live streams */
	uint64_t now_ms;
	int32_t last_id; /* of the newest request */
	unsigned open;
	bool mute; /* a stream could not be reset: what waits of it may be gone, nothing is sent */
	bool settings; /* the peer's came */
	bool broken;   /* h2_feed returned -1 */
	const char *broken_by;
};

/* The open stream of this id, or NULL: unknown, refused or detached. */
struct h2_stream *h2_find(struct h2 *h, int32_t id);
/* Ends the connection with a GOAWAY of this code; h2_feed will return -1. */
void h2_break(struct h2 *h, const char *reason, uint32_t code);
void h2_reject(struct h2 *h, const char *reason);
/* The outgoing half's nghttp2 callbacks. */
void h2_out_callbacks(nghttp2_session_callbacks *callbacks);

#endif
