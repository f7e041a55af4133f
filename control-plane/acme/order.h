/* One order at work on this control plane: its row in memory, the lease, and the only writer of its
 * state.
 *
 *          .----------------- retry: the CA's order is spent -------------------.
 *          v                                                                    |
 *    --> NEW --> AUTHORIZING --> PUBLISHING --> VALIDATING --> FINALIZING --> DOWNLOADING --> VALID
 *         |          |  `----- already valid -----------------^    |              |
 *         `----------+------------ permanent problem -> FAILED <---+--------------'
 *
 * What each state means to whoever takes the order over (each is stored before the CA is asked):
 *    NEW          nothing is known to the CA, or it may be forgotten
 *    AUTHORIZING  the CA's order exists: ask for its authorization
 *    PUBLISHING   the challenge is in the fleet's state: wait for the barrier
 *    VALIDATING   the CA may have been told: read the authorization first
 *    FINALIZING   the certificate's key is stored: read the CA's order first, then send the CSR
 *    DOWNLOADING  the certificate exists: fetch, check and store it
 *
 * owner: the ACME engine, thread: the loop.
 */
#ifndef CARDEA_ACME_ORDER_H
#define CARDEA_ACME_ORDER_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/codec.h"
#include "common/core/list.h"
#include "common/core/sm.h"
#include "common/net/loop.h"
#include "common/pki/key.h"
#include "control-plane/acme/account.h"
#include "control-plane/acme/client.h"
#include "control-plane/acme/message.h"
#include "control-plane/fleet/fleet.h"
#include "control-plane/store/store.h"

struct acme;
struct install;

enum order_state {
	ORDER_NEW,
	ORDER_AUTHORIZING,
	ORDER_PUBLISHING,
	ORDER_VALIDATING,
	ORDER_FINALIZING,
	ORDER_DOWNLOADING,
	ORDER_VALID,
	ORDER_FAILED,
	ORDER_STATES,
};
extern const struct sm order_sm;

struct order {
	struct link link; /* on acme.orders */
	struct acme *acme;
	enum order_state state; /* written by order_move */

	/* The row. */
	char id[UUID_TEXT_SIZE];
	char host[256];
	enum key_type key_type;
	bool renewal;
	unsigned attempts;
	int64_t fence;
	char order_url[ACME_URL_SIZE]; /* "": null, as all texts here */
	char authorization_url[ACME_URL_SIZE];
	char challenge_url[ACME_URL_SIZE];
	char finalize_url[ACME_URL_SIZE];
	char certificate_url[ACME_URL_SIZE];
	char challenge_id[UUID_TEXT_SIZE];
	uint64_t challenge_revision;
	struct buf sealed_key; /* of the certificate, hex as the store takes it */
	struct problem problem;
	int64_t problem_at;
	char certificate_id[UUID_TEXT_SIZE];
	int64_t not_after;	/* seconds; 0: null */
	int64_t renew_at_ms;	/* 0: null */
	int64_t renew_pause_ms; /* by the database's clock not sooner than so far from now */

	/* This run. */
	bool resumed;	 /* loaded from the row: what the CA knows has to be read first */
	bool released;	 /* save gives the lease back */
	int64_t next_ms; /* save sets next_attempt so far from now; < 0: leaves it */
	unsigned reregistered, rereads, installs;
	uint64_t lease_ns; /* the lease is surely ours until then (monotonic) */
	unsigned polls;
	uint64_t deadline_ns; /* of waiting for the CA */
	bool beating;	      /* a heartbeat that names it is out */
	bool hit;	      /* a data plane reported a validation request */
	EVP_PKEY *key;
	struct install *install;
	void (*then)(struct order *o); /* after save, account, key */

	/* What is under way; at most one of these at a time. */
	struct timer timer;
	struct client_call *call;
	void (*on_reply)(struct order *o, const struct client_reply *r);
	struct account_waiter waiter;
	struct barrier *barrier;
	struct work work;
	struct err work_err;
	unsigned outstanding; /* callbacks of store and pool that cannot be cancelled */
	bool ended; /* this control plane's run is over: freed when nothing is outstanding */
};

/* Makes it out of a row of ORDER_TAKE_SQL. */
int order_create(struct order **out, struct acme *a, const json_t *row, struct err *e) must_check;
/* The only writer of o->state; asserts that the diagram allows it. */
void order_move(struct order *o, enum order_state to);
int order_state_parse(struct str text, enum order_state *out) must_check;
/* The name that the row and the API use. */
const char *order_state_name(enum order_state s);

/* Ends this control plane's run of the order (done, lease lost, closing): nothing calls back into
 * it afterwards, and it is freed later. Harmless when called twice. */
void order_end(struct order *o);
/* Begins a wait for the store or the pool, which cannot be cancelled; their callback begins with
 * order_awoke, and does nothing when that returns false. */
void order_sleep(struct order *o);
bool order_awoke(struct order *o);

/* Writes the whole row, if the lease (owner and fence) is still ours, then calls then(o); loses the
 * run (order_end) when it is not, or when the database is away: whoever takes the order over reads
 * what was stored last. */
void order_save(struct order *o, void (*then)(struct order *o));
/* The same as part of a transaction: STORE_LEASE when the lease is lost. */
void order_save_in(struct order *o, struct txn *t);
/* The audit's row of such a transaction, when it changes what data planes hold: the engine and what
 * it wrote. */
void order_note(const struct order *o, struct txn *t, const struct entity *e, const char *id);
/* The end of such a transaction: false when the run was lost (already ended then). */
bool order_saved(struct order *o, const struct store_result *r);

/* A data plane reported the CA's validation request. */
void order_hit(struct order *o);

/* A signed POST with the account, as the last thing that its caller does: what fails at once is
 * replied at once, and without an account the step is begun again. After the lease's time the CA is
 * not asked any more, and the run ends: the fence keeps this control plane from writing, and this
 * from making a second order of the CA's. payload NULL: POST-as-GET. */
void order_post(struct order *o, enum client_endpoint endpoint, const char *url,
		const char *payload,
		void (*on_reply)(struct order *o, const struct client_reply *r));

#endif
