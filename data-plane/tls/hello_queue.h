/* Admission to the expensive part of TLS handshakes (SL-07): in one turn of a worker's loop at most
 * `at_once` full handshakes begin; ClientHellos beyond that wait, in order, so that in between
 * connections that stand are served and handshakes that resume a session go first.
 *
 *     ClientHello ─┬─ offers a session, or room in this turn ──▶ goes on
 *                  ├─ wait ──▶ a later turn ──▶ goes on
 *                  └─ `waiting_max` wait already ──▶ dropped
 *
 * A client that offers a session which is not taken, or that leaves before it is known, has
 * cheated: its handshake counts against the next turn. The queue outlives the SSLs. owner and
 * thread: the worker.
 */
#ifndef CARDEA_TLS_HELLO_QUEUE_H
#define CARDEA_TLS_HELLO_QUEUE_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "common/core/list.h"

struct hello_queue {
	unsigned at_once;     /* set; 0: no limit */
	unsigned waiting_max; /* set */
	unsigned begun;	      /* private: in this turn */
	unsigned waiting;     /* read */
	uint64_t waited;      /* read: how many ever had to */
	struct link items;    /* private */
};

enum hello_verdict { HELLO_GO, HELLO_WAIT, HELLO_DROP };

/* An empty queue. Fails only when OpenSSL has no index left. */
int hello_queue_init(struct hello_queue *q, unsigned at_once, unsigned waiting_max,
		     struct err *e) must_check;
/* In the ClientHello callback, before anything that costs; asked again when it goes on. */
enum hello_verdict hello_queue_ask(struct hello_queue *q, SSL *ssl);
/* A handshake is complete. */
void hello_queue_done(struct hello_queue *q, SSL *ssl, bool resumed);
/* Once per turn of the loop: who waits longest goes on (conn_handshake_resume). */
void hello_queue_turn(struct hello_queue *q);

#endif
