/* The receiving half of HTTP/1.x (RFC 9112), without I/O: bytes in, events out. Requests for a
 * server, responses for a client. Strict: what is ambiguous or malformed is refused, never repaired
 * (reliability-goals section 3, whose row ids are the reasons given here). owner: the session,
 * thread: its loop.
 *
 *   DONE ──start──▶ LINE ──▶ FIELDS ──HEAD event──▶ FIXED ⟲ BODY events ──END event──▶ DONE
 *                                ├─HEAD event──▶ CLOSE ⟲ BODY events ──h1_parse_end──▶ DONE
 *                                └─HEAD event──▶ CHUNK ──▶ DATA ⟲ BODY events ──▶ DATA_END
 *                                                │  ▲                                │
 *                                                │  └────────────────────────────────┘
 *                                                └──▶ TRAILERS ──END event──▶ DONE
 *
 *   any violation: ERROR event, FAILED (and stays there)
 *
 * The same bytes give the same events' sum wherever they are cut.
 */
#ifndef CARDEA_HTTP_H1_PARSE_H
#define CARDEA_HTTP_H1_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/core/arena.h"
#include "common/core/str.h"
#include "common/http/msg.h"

/* reliability-goals section 2; 0 takes the default written there. */
struct h1_limits {
	size_t request_line;	 /* bytes without CRLF: 8 KiB; over it 414 */
	size_t field;		 /* bytes of one field line without CRLF: 16 KiB; 431 */
	size_t head;		 /* bytes of the whole head, CRLFs included: 32 KiB; 431 */
	unsigned fields;	 /* 100; 431 */
	size_t chunk_line;	 /* bytes of a chunk-size line without CRLF: 256; 400 */
	size_t extensions;	 /* bytes of chunk extensions in one body: 16 KiB; 400 */
	size_t trailers;	 /* bytes of the trailer section: 8 KiB; 400 */
	unsigned trailer_fields; /* 32; 400 */
	uint64_t body;		 /* bytes of content; 0: unlimited; 413 */
};

enum h1_event {
	H1_MORE,  /* input used up: feed again when more came */
	H1_HEAD,  /* *request and the answers in the parser are filled in */
	H1_BODY,  /* *body is a non-empty piece of the content, a slice of the input */
	H1_END,	  /* message complete (also after a head without body); trailers are filled in */
	H1_ERROR, /* see status and reason; nothing of this connection may be parsed any more */
};

enum h1_state {
	H1_STATE_DONE,	   /* between messages */
	H1_STATE_LINE,	   /* request line (or the one empty line before it), or status line */
	H1_STATE_FIELDS,   /* field lines of the head */
	H1_STATE_FIXED,	   /* content of a known length, also none */
	H1_STATE_CLOSE,	   /* content until the connection ends: responses only */
	H1_STATE_CHUNK,	   /* chunk-size line */
	H1_STATE_DATA,	   /* content of a chunk */
	H1_STATE_DATA_END, /* CRLF behind it */
	H1_STATE_TRAILERS,
	H1_STATE_FAILED,
	H1_STATE_COUNT
};

/* Fields of the head that the parser answers itself: not in request->fields. */
enum h1_own_field {
	H1_HOST,
	H1_CONTENT_LENGTH,
	H1_TRANSFER_ENCODING,
	H1_CONNECTION,
	H1_EXPECT,
	H1_UPGRADE,
	H1_TE,
	H1_DROPPED, /* other hop-by-hop fields */
	H1_OWN_COUNT
};

struct h1_own_value {
	struct str value; /* of the first */
	unsigned count;
};

struct h1_parser {
	/* read, after H1_HEAD */
	bool close;	    /* no further message on this connection: HTTP/1.0 without
			       keep-alive, `Connection: close`, or a response without a length,
			       or with one where none may be (UP-06) */
	bool chunked;	    /* content comes in chunks */
	bool te_trailers;   /* `TE: trailers`: the client takes trailers */
	struct str upgrade; /* "websocket" when a usable upgrade to it was asked for (H1-33), else
			       STR_NONE. The session sends nothing but 101 to switch; without 101
			       the following bytes are the next request. Of a response: what a
			       101 switches to, as sent; else STR_NONE. */
	unsigned refuse;    /* 0, or the status that the session must answer by itself, draining the
			       body and keeping the connection: 405 for TRACE and TRACK (H1-17) */
	/* read, after H1_END */
	struct http_fields trailers; /* without the fields that may not be trailers (H1-29) */
	/* read, after H1_ERROR */
	unsigned status;    /* 400, 405, 413, 414, 417, 431, 500 (out of memory), 501, 505; close
			       after answering. Of a response: 502 (UP-01), or 500 */
	const char *reason; /* row id ("H1-03") or limit name ("limit_head"): bounded label set */
	/* private */
	struct h1_limits limits;
	struct str scheme;
	enum h1_state state;
	struct arena *arena;
	struct http_request *request;	/* NULL: a response is read */
	struct http_response *response; /* NULL: a request is read */
	bool no_content;		/* the response is to HEAD */
	bool until_close;		/* its content ends with the connection */
	enum http_version version;	/* of the message */
	struct buf partial;	       /* bytes of an unfinished line; no memory between messages */
	size_t section;		       /* bytes of finished lines of this head or trailer section */
	uint64_t left;		       /* bytes of content still to come in this body or chunk */
	uint64_t received;	       /* bytes of content so far */
	size_t extensions;	       /* bytes so far */
	bool blank;		       /* the one empty line before the request line was there */
	bool data_cr;		       /* CR behind chunk data was there */
	struct str absolute;	       /* authority of an absolute-form target */
	unsigned field_count;	       /* lines of this head or trailer section */
	struct http_fields connection; /* every Connection field */
	char *lines;		       /* of the arena: room for the fields, as http_lines */
	size_t lines_len, lines_cap;
	struct h1_own_value own[H1_OWN_COUNT];
};

/* scheme: "http" or "https", lives as long as the parser. limits may be NULL. Call
 * h1_parser_start before the first h1_parse. */
void h1_parser_init(struct h1_parser *p, const struct h1_limits *limits, struct str scheme);
void h1_parser_deinit(struct h1_parser *p);
/* Expects a new message: before the first one, and after each H1_END. The head goes into *request
 * and its strings, like the trailers, into the arena; both live until the caller is done with the
 * message (and beyond H1_END); an arena with a limit needs 64 KiB beyond twice the head limit. A
 * parser that failed stays failed. */
void h1_parser_start(struct h1_parser *p, struct arena *a, struct http_request *request);
/* As h1_parser_start, for a response to a request with that method. 1xx are messages of their own:
 * after their H1_END comes the next (behind 101 the other protocol). Parsers are for one kind of
 * message. What *response holds on H1_HEAD: status 100..599, fields without those of the connection
 * (as for requests, but Host, Expect and underscores stay), content_length (-1: not known; what a
 * HEAD would have had). */
void h1_parser_start_response(struct h1_parser *p, struct arena *a, struct http_response *response,
			      struct str method);
/* After H1_HEAD: whether content, or an end of it, is still to come. */
bool h1_parser_has_content(const struct h1_parser *p);
/* The peer ended the connection as the protocol below has it (TLS: with close_notify). H1_END: a
 * response without a length is complete now, or nothing had begun. H1_ERROR: a message is cut
 * short (UP-02). */
enum h1_event h1_parse_end(struct h1_parser *p);
/* Takes bytes from the front of *in and returns the next event; call again until H1_MORE, H1_END or
 * H1_ERROR. H1_MORE: *in is empty, and nothing keeps pointing into it. H1_END: the bytes that are
 * left in *in belong to the next message (or the upgraded protocol); another call before
 * h1_parser_start returns H1_END again and takes nothing. *body is set only with H1_BODY.
 *
 * What *request holds on H1_HEAD:
 *   - method, target in origin-form ("*" for OPTIONS), also when it came in absolute-form
 *   - authority and host, checked; both STR_NONE for HTTP/1.0 without Host (H1-23)
 *   - fields without those that belong to this connection or are given elsewhere: Host,
 *     Content-Length, Transfer-Encoding, Expect, Connection and the fields it names (H1-35; a
 *     protected set cannot be named), Keep-Alive, Proxy-Connection, TE, Trailer, Upgrade,
 *     HTTP2-Settings, and underscore spellings of fields that Cardea sets or trusts (H1-07, TR-03)
 *   - content_length (-1 when chunked or without body), has_body, expect_continue (H1-24)
 * Never answered here: timeouts, and limits of routes. */
enum h1_event h1_parse(struct h1_parser *p, struct str *in, struct str *body);
/* Whether bytes of an unfinished message came in: the end of the connection is then an incomplete
 * message, and an expired head timer is answered 408 instead of a silent close. The one empty line
 * counts. */
bool h1_parser_started(const struct h1_parser *p);

/* The HTTP/2 connection preface (RFC 9113 3.4). Where HTTP/2 is offered on a plain connection, the
 * session compares the first bytes before it gives any to h1_parse; h1_parse answers the preface
 * with 505 (H1-38). */
#define H1_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { H1_PREFACE_SIZE = sizeof(H1_PREFACE) - 1 };
enum h1_preface { H1_PREFACE_NO, H1_PREFACE_PART, H1_PREFACE_WHOLE };
/* had: bytes of the preface that came before (0 at first). NO: give h1_parse the `had` bytes of
 * H1_PREFACE, then bytes. PART: all bytes match so far, wait with had + bytes.len. WHOLE: give
 * HTTP/2 the `had` bytes of H1_PREFACE, then bytes. */
enum h1_preface h1_preface(size_t had, struct str bytes);

#endif
