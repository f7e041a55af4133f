/* The sending half of HTTP/1.x (RFC 9112), without I/O: heads and bodies appended to a buffer.
 * Framing is always our own: what a field list says about framing or the connection is left out.
 * owner: the exchange, thread: its loop. */
#ifndef CARDEA_HTTP_H1_WRITE_H
#define CARDEA_HTTP_H1_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/http/msg.h"

enum h1_framing {
	H1_FRAMING_NONE,    /* no body: HEAD, 1xx, 204, 304, or ended with the head */
	H1_FRAMING_LENGTH,  /* Content-Length */
	H1_FRAMING_CHUNKED, /* Transfer-Encoding: chunked */
	H1_FRAMING_CLOSE,   /* until the connection closes: unknown length to HTTP/1.0 */
};

/* One outgoing message. */
struct h1_writer {
	/* read, after the head */
	enum h1_framing framing;
	bool close; /* the connection must be closed behind this message */
	bool done;  /* the message is complete */
	/* private */
	uint64_t left; /* H1_FRAMING_LENGTH: bytes still owed */
};

struct h1_head_options {
	enum http_version version; /* of the request that is answered */
	bool head_only;		   /* request was HEAD */
	bool end;		   /* no body bytes follow */
	bool close;		   /* say `Connection: close` */
	struct str date;	   /* value of Date (IMF-fixdate), STR_NONE: none */
	struct str server;	   /* value of Server unless the fields have one, STR_NONE: none */
};

/* Appends a final response head (status 200..599) and prepares *w for the body. content_length -1
 * with a body to come: chunked, or until close for HTTP/1.0. -1 with `end`: "Content-Length: 0"
 * where a body could be. Left out of r->fields: Connection, Keep-Alive, Proxy-Connection, TE,
 * Trailer, Transfer-Encoding, Upgrade but with 426, Content-Length (UP-07). Date is that of the
 * fields, or the one in o.
 * ERR_INVALID: a field name that is no token, or a control byte in a value (out is as before);
 * ERR_LIMIT, ERR_MEMORY of the buffer. */
int h1_write_head(struct h1_writer *w, struct buf *out, const struct http_response *r,
		  const struct h1_head_options *o, struct err *e) must_check;
/* Appends body bytes as the framing wants them; bytes are dropped where no body may be. last ends
 * the message. ERR_INTERNAL: more or fewer bytes than content_length said: the connection must be
 * aborted. */
int h1_write_body(struct h1_writer *w, struct buf *out, struct str bytes, bool last,
		  struct err *e) must_check;
/* Ends the message with trailers where it is chunked, otherwise like an empty last body piece. */
int h1_write_trailers(struct h1_writer *w, struct buf *out, const struct http_fields *trailers,
		      struct err *e) must_check;
/* Appends an interim response: 100 without fields, 103 with them. Nothing for HTTP/1.0. */
int h1_write_interim(struct buf *out, enum http_version version, unsigned status,
		     const struct http_fields *fields, struct err *e) must_check;
/* Appends a 101 to the protocol `upgrade` (RFC 9110 7.8), with the fields of r. */
int h1_write_switch(struct buf *out, const struct http_response *r, struct str upgrade,
		    struct err *e) must_check;
struct h1_request_options {
	bool close;	    /* `Connection: close` */
	bool te_trailers;   /* `TE: trailers` */
	struct str upgrade; /* token of `Upgrade`; STR_NONE: none. Not with close */
};
/* Appends a request head (for an upstream, HTTP/1.1): origin-form, Host from authority, own framing
 * out of content_length and has_body, fields as in h1_write_head. */
int h1_write_request(struct h1_writer *w, struct buf *out, const struct http_request *r,
		     const struct h1_request_options *o, struct err *e) must_check;

#endif
