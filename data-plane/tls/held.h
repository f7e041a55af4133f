/* Issuance on demand in a worker: handshakes for names that have no certificate here, held until
 * it comes (tables/wishes.h).
 *
 *     unknown name ─┬─ not a name that a certificate can be had for, refused before, or no
 *                   │  control plane ──▶ goes on without (default certificate, or alert)
 *                   ├─ asked for, but not held: on_demand_hold is 0 or over since the name was
 *                   │  asked for, or `max` are held ──▶ the same
 *                   └─ held ─┬─ the certificate came ──▶ goes on with it
 *                            ├─ refused ──▶ goes on without
 *                            └─ on_demand_hold after the name was asked for ──▶ goes on without
 *
 * A handshake is held once. What is held in vain counts for the name, not for each client: after
 * on_demand_hold nobody waits for it any more. Those that go on do so HELD_AT_ONCE per turn of the
 * loop. It outlives the SSLs. owner and thread: the worker. */
#ifndef CARDEA_TLS_HELD_H
#define CARDEA_TLS_HELD_H

#include <openssl/ssl.h>

#include "common/core/map.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tables/wishes.h"

enum { HELD_AT_ONCE = 64 };

struct held_options {
	const struct tables *tables;
	struct wish_board *board; /* NULL: never asks */
	struct loop *loop;
	unsigned max; /* on_demand_held_max */
	uint64_t hold_ms;
	void (*count)(enum wish_event event, void *arg);
	void *arg;
};

struct held {
	struct held_options o; /* private */
	unsigned count;	       /* read: handshakes that are held */
	struct map by_name;    /* private: struct held_name */
	struct link names;     /* private: the same */
	struct link ready;     /* private: handshakes that go on */
	struct timer timer;    /* private: the next deadline */
	uint64_t next_ns;      /* private: when; 0: none */
};

enum held_verdict { HELD_GO, HELD_WAIT };

/* Holds nothing. Fails only when OpenSSL has no index left. */
int held_init(struct held *h, const struct held_options *o, struct err *e) must_check;
/* In the ClientHello callback, for a name without a certificate; asked again when it goes on. */
enum held_verdict held_ask(struct held *h, SSL *ssl, struct str name, const struct addr *client);
/* The same, with the name of the ClientHello and the client of the connection. */
enum held_verdict held_hello(struct held *h, SSL *ssl);
/* A handshake is complete. */
void held_done(struct held *h, SSL *ssl);
/* Something changed: looks at every name that is held. */
void held_look(struct held *h);
/* Once per turn of the loop. */
void held_turn(struct held *h);
/* Closes its timer. */
void held_close(struct held *h);
/* After the SSLs. */
void held_deinit(struct held *h);

#endif
