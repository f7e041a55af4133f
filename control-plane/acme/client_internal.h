/* The insides of struct client, for client.c and client_turn.c. owner: the ACME engine, thread: the
 * loop. */
#ifndef CARDEA_ACME_CLIENT_INTERNAL_H
#define CARDEA_ACME_CLIENT_INTERNAL_H

#include "common/core/list.h"
#include "control-plane/acme/client.h"
#include "control-plane/acme/nonce.h"
#include "control-plane/acme/pace.h"

enum { NONCE_FETCHES_MAX = 2 }; /* at once: newNonce has the tightest limit of all */
enum { PACES = 2 };		/* new orders, and everything else */

struct client {
	struct client_conf conf; /* strings owned */
	struct acme_directory directory;
	uint64_t directory_at_ns; /* 0: none */
	struct fetch *directory_fetch;
	struct link queues[LANES]; /* calls that wait for their turn */
	unsigned queued;
	unsigned in_flight;
	double window;	  /* of in_flight; between 1 and conf.requests_max */
	uint64_t hold_ns; /* nothing is sent before (monotonic) */
	unsigned holds;	  /* in a row */
	struct nonce_pool nonces;
	struct nonce_fetch {
		struct client *client;
		struct fetch *fetch; /* NULL: idle */
	} nonce_fetches[NONCE_FETCHES_MAX];
	struct pace paces[PACES];
	struct deferred pump;		/* sends what may be sent */
	struct timer timer;		/* the same, later */
	struct metric_family *requests; /* NULL: not counted */
	unsigned parts_open;
	void (*closed)(void *arg);
	void *closed_arg;
};

struct client_call {
	struct link link; /* on a queue of the client, or on none */
	struct client *client;
	enum client_endpoint endpoint;
	char url[ACME_URL_SIZE];
	EVP_PKEY *key;
	char *kid;
	struct buf payload;
	client_build build;
	const uint64_t *until_ns;
	struct fetch *fetch;
	unsigned bad_nonces;
	enum lane lane;
	bool queued, in_flight;
	client_done done;
	void *arg;
};

/* --- client.c --- */

/* Ends the call: its callback, then it is gone. */
void client_call_fail(struct client_call *call, const struct problem *p);
void client_call_fail_err(struct client_call *call, const struct err *e);
/* On its queue, for its turn; off it. */
void client_call_enqueue(struct client_call *call);
void client_call_dequeue(struct client_call *call);
/* Signs and posts. It takes a place in the window until the answer. */
void client_call_send(struct client_call *call, const char *nonce);
/* What every answer tells about the CA: counted, and the breaker and the window move. True: it is a
 * problem, which is in p. */
bool client_judge(struct client *c, const struct fetch_reply *r, const char *what,
		  struct problem *p);

/* --- client_turn.c --- */

/* client.pump and client.timer: sends what may be sent. */
void client_pump(struct deferred *d);
void client_on_timer(struct timer *t);
/* Soon. arg: the client. */
void client_pump_soon(void *arg);

#endif
