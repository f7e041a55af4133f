/* A server on loopback with handlers chosen by path, and clients that write down what they get. */
#ifndef CARDEA_TESTS_HTTP_FIXTURE_H
#define CARDEA_TESTS_HTTP_FIXTURE_H

#include "common/http/h1_parse.h"
#include "common/http/h2.h"
#include "common/http/session.h"
#include "common/net/listener.h"
#include "tests/unit/lib/loop_fixture.h"

enum { HTTP_FIXTURE_BIG = 24 << 20, HTTP_FIXTURE_SILENCE_MS = 40 };

/* Paths of the server:
 *   /hi           200 "hi" at once            /late        the same, one turn later
 *   /echo         the body back when it ended /stream      head at once, body back as it comes
 *   /silence      as /stream, but no longer silent than HTTP_FIXTURE_SILENCE_MS
 *   /chunk        "one", "two" without length /none        no answer at all
 *   /204          204 though a body is given  /trailers    "x" and the trailer grpc-status: 0
 *   /big          HTTP_FIXTURE_BIG bytes      /short       says 5 bytes, gives 3
 *   /abort-head /abort-body /abort-drain      exchange_abort in that callback
 *   /close-head /close-body                   http_server_close in that callback
 *   anything else 404 at once, no body handler */
struct http_fixture {
	struct loop_fixture f;
	struct http_server server;
	struct listener *listener;
	SSL_CTX *tls; /* set before fixture_listen: owned by the test */
	unsigned heads, ends, failed_ends, bodies_ended;
	struct err last_why;
	struct exchange *held; /* of /none and /late */
	struct deferred late;
	char rejected[256]; /* reasons, each with a space behind */
};

void http_fixture_init(struct http_fixture *h);
/* Limits may be set between init and listen. */
void http_fixture_listen(struct http_fixture *h);
void http_fixture_deinit(struct http_fixture *h);

/* A client of bytes. */
struct byte_client {
	struct conn *conn;
	struct buf got;
	bool open, eof, closed;
	struct err why;
};
void byte_connect(struct byte_client *c, struct http_fixture *h);
void byte_send(struct byte_client *c, struct http_fixture *h, struct str bytes, bool bytewise);
void byte_deinit(struct byte_client *c, struct http_fixture *h);
/* What came, without the lines of Date. */
struct str byte_text(struct byte_client *c);

/* A client of HTTP/2 streams. */
struct h2_client;
struct h2_call {
	struct h2_stream stream;
	struct arena arena;
	struct buf body;
	struct str trailer; /* grpc-status */
	unsigned drains;
	bool head, ended, closed;
	uint32_t code;
	struct h2_client *client;
};
struct h2_client {
	struct conn *conn;
	struct h2 *h2;
	bool open, closed, goaway;
	uint32_t goaway_code;
	bool no_consume; /* set: gives no window back */
};
void h2_client_connect(struct h2_client *c, struct http_fixture *h);
void h2_client_flush(struct h2_client *c);
void h2_client_deinit(struct h2_client *c, struct http_fixture *h);
/* method and path, then the extra fields; end: no body. */
void h2_call_start(struct h2_call *x, struct h2_client *c, const char *method, const char *path,
		   const struct http_fields *extra, bool end);
void h2_call_deinit(struct h2_call *x);

#endif
