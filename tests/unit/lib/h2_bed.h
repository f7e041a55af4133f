/* Calls of an upstream_pool over HTTP/2, and a scripted server for them on a loopback socket: what
 * it does is in the path.
 *
 *     /echo            200 at once, each piece of the body back, then a trailer grpc-status: 0
 *     /trailers-only   a head that ends with grpc-status: 12
 *     /interim         100, 103, 204          /interims   many
 *     /refuse, /reset, /close   of the stream (twice), of the connection
 *     /reset-after     200 and nothing more
 *     /connection-field, /fields   a head that breaks the rules
 *     /big             BIG bytes              /slow       takes the body and gives no window
 */
#ifndef CARDEA_TESTS_H2_BED_H
#define CARDEA_TESTS_H2_BED_H

#include "common/http/h2.h"
#include "common/net/listener.h"
#include "data-plane/proxy/upstream_call.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/testcert.h"

enum { CALLS = 64, BIG = 1 << 20 };

struct served {
	struct h2_stream h2;
	struct arena arena;
	struct link link;
	bool echoes, closed;
	size_t got;
	uint32_t code;
};

struct server {
	struct listener *listener;
	struct conn *conn; /* the newest */
	struct h2 *h2;
	struct deferred flush;
	struct loop *loop;
	struct link streams;
	SSL_CTX *tls;
	unsigned connections, streams_max, begun;
	struct h2_stream *last;	 /* newest stream */
	uint32_t last_reset;	 /* code that the newest closed stream ended with */
	unsigned closed_streams; /* also of connections that are gone */
	char fields[4096];	 /* what came: "name=value;" */
};

extern struct server srv;

struct bed;
struct asked {
	struct bed *bed;
	struct upstream_call *call; /* NULL: ended */
	struct arena arena;
	const char *path;
	struct buf body;
	unsigned readies, heads, interims, drains, ends, status;
	bool end_with_head, keeps; /* keeps: set, consumes nothing */
	bool close_in_head;	   /* set */
	struct upstream_end end;
	char trailer[64];
	struct http_request request;
};

struct bed {
	struct loop_fixture f;
	struct upstream_pool *pool;
	struct upstream_call_options o;
	struct testca ca;
	struct origin_tls tls;
	struct asked asked[CALLS];
	size_t count;
};

extern struct bed bed;

struct served *served_of(struct h2_stream *s);
/* Listener and pool; the server takes streams_max streams at a time. */
void open_bed(unsigned streams_max);
/* After it: both ends speak TLS. */
void open_tls(bool server_speaks_h2);
/* Closes what is left and checks that nothing is. */
void close_bed(void);
/* A call that waits for its connection. */
struct asked *start(const char *path);
/* To its request. */
void add_field(struct asked *a, const char *name, const char *value);
/* Waits until it is ready and sends the head. */
void send_it(struct asked *a, bool end);
/* Both. */
struct asked *ask(const char *path, bool end);

#endif
