/* Calls to an upstream against a scripted server on a loopback socket, and what they are told as
 * text. */
#ifndef CARDEA_TESTS_H1_BED_H
#define CARDEA_TESTS_H1_BED_H

#include "common/net/listener.h"
#include "data-plane/proxy/upstream_call.h"
#include "tests/unit/lib/loop_fixture.h"

enum { PEERS = 16, ASKED = 8, BIG = 1 << 20 };

/* The server's end of a connection. */
struct peer {
	struct conn *conn; /* NULL: gone */
	struct buf got;
	struct err why;
};

struct h1_bed {
	struct loop_fixture f;
	struct listener *listener;
	struct peer peers[PEERS];
	size_t count;
	struct str script; /* set: sent for each "\r\n\r\n" that came */
	bool close_after;  /* set */
	bool deaf;	   /* set: does not read */
	struct upstream_pool *pool;
	struct upstream_call_options o;
};
extern struct h1_bed h1_bed;

enum h1_moment { NOWHERE, IN_HEAD, IN_BODY, IN_INTERIM, IN_READY };

/* A call, and what it was told. */
struct h1_asked {
	struct upstream_call *call; /* NULL: ended, or closed by the test */
	struct arena arena;
	char told[2048];
	size_t told_len;
	size_t body; /* bytes */
	bool holds;  /* set: gives no window back */
	bool ended;
	bool takes; /* set: takes the connection in on_switch */
	enum h1_moment closes;
	struct upstream_end end;
	struct conn *taken;
	struct str upgrade;
	unsigned drains;
};
extern struct h1_asked h1_asked[ASKED];

void h1_bed_setup_pool(const struct upstream_pool_options *with);
void h1_bed_setup(void);
void h1_bed_teardown(void);

/* Starts the i-th call. */
struct h1_asked *h1_ask_nothing(size_t i);
/* Sends a head, when the connection is there. length 0: no body; -1: chunks. */
void h1_give_head(struct h1_asked *a, const char *method, int64_t length);
/* Both, without a body. */
struct h1_asked *h1_ask(size_t i, const char *method);
struct http_request h1_request(const char *method, int64_t length);
struct upstream_pool_facts h1_facts(void);

#endif
