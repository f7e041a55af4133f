/* One order, for a set of names, at work on this control plane: its row in memory, the lease, and
 * the only writer of its state.
 *
 *          .----------------- retry: the CA's order is spent -------------------.
 *          v                                                                    |
 *    --> NEW --> AUTHORIZING --> PUBLISHING --> VALIDATING --> FINALIZING --> DOWNLOADING --> VALID
 *         |          |  `----- already valid -----------------^    |              |
 *         `----------+------------ permanent problem -> FAILED <---+--------------'
 *
 *    A run may also end as PAUSED (by the CA, until its owner unpauses the name there; then NEW) or
 *    PARKED (it failed too often by its owner's fault), from each of those that may fail.
 *
 * What each state means to whoever takes the order over (each is stored before the CA is asked):
 *    NEW          nothing is known to the CA, or it may be forgotten
 *    AUTHORIZING  the CA's order exists: ask for its authorizations
 *    PUBLISHING   the challenges of all that are not valid yet are in the fleet's state, by one
 *                 revision: wait for the barrier; and those of dns-01 are rows: set them, and wait
 *                 until DNS shows them (dns01.h)
 *    VALIDATING   the CA may have been told: read each authorization first
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
#include "control-plane/acme/authorization.h"
#include "control-plane/acme/client.h"
#include "control-plane/acme/lane.h"
#include "control-plane/acme/message.h"
#include "control-plane/acme/timeline.h"
#include "control-plane/fleet/fleet.h"
#include "control-plane/store/store.h"

struct acme;
struct authority;
struct batch;
struct dns01_job;
struct download;
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
	ORDER_PAUSED, /* by the CA; a run begins it as NEW */
	ORDER_PARKED, /* until its names resolve to something else, or an operator retries it */
	ORDER_STATES,
};
extern const struct sm order_sm;

/* What order_create reads of a row of acme_orders with the alias o. The revision is that of its
 * challenges; null when one of them is not in the fleet's state. */
#define ORDER_COLUMNS                                                                              \
	"o.id, o.host, o.more, o.key_type, o.state, o.renewal, o.attempts, o.fence, o.order_url, " \
	"o.authorizations, o.finalize_url, o.certificate_url, o.certificate_id, o.key, "           \
	"o.problem, o.lane, o.failures, o.ca, o.ca_before, to_jsonb(o.ca_refused) AS ca_refused, " \
	"o.key_type_alt, o.pair_of, o.replaces, o.profile, o.profile_required, "                   \
	"o.preferred_chain, extract(epoch FROM o.wanted_not_after)::bigint AS wanted_not_after, "  \
	"(SELECT extract(epoch FROM v.not_after - now())::float8 FROM acme_orders v WHERE v.id = " \
	"o.renews) AS expires_in, "                                                                \
	"(SELECT CASE WHEN count(*) = cardinality(o.challenge_ids) THEN max(c.revision) END FROM " \
	"changes c WHERE c.kind = 'acme_challenges' AND c.id = ANY (o.challenge_ids) AND NOT "     \
	"c.removed) AS challenge_revision"

struct order {
	struct link link;      /* on acme.orders */
	struct link admission; /* on acme.admitting, or on none */
	struct acme *acme;
	struct authority *authority; /* set before the first step */
	struct batch *batch;	     /* of admission.c that it is in */
	struct link grouped;	     /* on a group's list (group.h), or on none */
	bool alone;		     /* there: with others its question failed */
	enum order_state state;	     /* written by order_move */

	/* The row. */
	char id[UUID_TEXT_SIZE];
	char host[256];	  /* the first of: */
	struct buf names; /* the set (names.h) */
	enum key_type key_type;
	bool renewal;
	unsigned attempts;
	enum lane lane;
	unsigned failures;  /* in a row, by the fault of the name's owner */
	char *ca;	    /* directory of the authority that has it; NULL: none yet */
	char *ca_before;    /* of the one that issued what is renewed; NULL: none */
	json_t *ca_refused; /* array: of those that the names' CAA excludes */
	int64_t fence;
	char order_url[ACME_URL_SIZE]; /* "": null, as all texts here */
	char finalize_url[ACME_URL_SIZE];
	char certificate_url[ACME_URL_SIZE];
	struct authorizations authorizations;
	uint64_t challenge_revision;
	struct buf sealed_key; /* of the certificate, hex as the store takes it */
	struct problem problem;
	json_t *subproblems; /* of problem, by name; NULL: none */
	int64_t problem_at;
	char certificate_id[UUID_TEXT_SIZE];
	int64_t not_after;    /* seconds; 0: null */
	int64_t renew_at_ms;  /* 0: null */
	bool sent_profile;    /* in the last new order */
	bool no_profile;      /* the CA refused an order with it */
	bool profile_missing; /* the CA does not have one that is required */
	struct download *download;
	char key_type_alt[16]; /* "": no second certificate */
	char pair_of[UUID_TEXT_SIZE];
	char replaces[256];
	char profile[64];
	bool profile_required;
	char preferred_chain[256];
	int64_t wanted_not_after; /* seconds; 0: null */
	uint64_t expires_ns;	  /* what it renews ends then (monotonic); 0: renews nothing */
	int64_t renew_pause_ms;	  /* by the database's clock not sooner than so far from now */

	/* This run. */
	bool resumed;	 /* loaded from the row: what the CA knows has to be read first */
	bool released;	 /* save gives the lease back */
	int64_t next_ms; /* save sets next_attempt so far from now; < 0: leaves it */
	unsigned reregistered, rereads, installs, again;
	bool late;		  /* data planes did not hold a challenge when the CA was told */
	struct problem_help help; /* of the CA's last problem */
	uint64_t lease_ns;	  /* the lease is surely ours until then (monotonic) */
	unsigned polls;
	uint64_t deadline_ns;	  /* of waiting for the CA */
	bool beating;		  /* a heartbeat that names it is out */
	uint64_t failed_ns;	  /* the first name failed then; 0: none did */
	bool dropping;		  /* save forgets the CA's order, and the challenges with it */
	json_t *blame;		  /* subproblems of the problem that comes; owned */
	struct timeline timeline; /* not stored yet */
	struct {
		size_t next;
		unsigned in_flight;
		bool posted; /* the CA was told of a challenge in it */
		bool (*ask)(struct authorization *a);
		void (*then)(struct order *o);
		int64_t retry_after_ms; /* the longest that the round's answers asked for */
	} round;			/* of requests about authorizations (validate.c) */
	EVP_PKEY *key;
	struct install *install;
	void (*then)(struct order *o); /* after save, account, key */

	/* What is under way; at most one of these at a time. */
	struct timer timer;
	struct client_call *call;
	void (*on_reply)(struct order *o, const struct client_reply *r);
	struct account_waiter waiter;
	struct barrier *barrier;
	struct dns01_job *dns01; /* its records of dns-01; NULL: none */
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

/* Milliseconds until the certificate that it renews ends; UINT64_MAX: it renews none, or that has
 * ended. */
uint64_t order_left_ms(const struct order *o);
/* So little that it cannot wait for an authority that is away, nor behind all others. */
bool order_in_hurry(const struct order *o);

/* From now on the order is at that authority. */
void order_assign(struct order *o, struct authority *au);

/* Ends this control plane's run of the order (done, lease lost, closing): nothing calls back into
 * it afterwards, and it is freed later. Harmless when called twice. */
void order_end(struct order *o);
/* Begins a wait for the store or the pool, which cannot be cancelled; their callback begins with
 * order_awoke, and does nothing when that returns false. */
void order_sleep(struct order *o);
bool order_awoke(struct order *o);

/* order_save.c: writes the whole row, together with others that come meanwhile, if the lease (owner
 * and fence) is still ours, then calls then(o); loses the run (order_end) when it is not, or when
 * the database is away: whoever takes the order over reads what was stored last. */
void order_save(struct order *o, void (*then)(struct order *o));
struct group_batch;
/* acme.saves.ask */
void order_save_batch(struct group_batch *b);
/* The same for n orders as part of a transaction: STORE_LEASE when a lease is lost. */
void orders_save_in(struct order *const *orders, size_t n, struct txn *t);
void order_save_in(struct order *o, struct txn *t);
/* The audit's row of such a transaction, when it changes what data planes hold: the engine and what
 * it wrote. */
void order_note(const struct order *o, struct txn *t, const struct entity *e, const char *id);
/* The end of such a transaction: false when the run was lost (already ended then). */
bool order_saved(struct order *o, const struct store_result *r);

/* Ends the run and gives the lease back, for so long at least; the row stays as it was stored. */
void order_yield(struct order *o, uint64_t wait_ms);
/* Into the order's time line, with the next save. detail may be NULL. */
void order_tell(struct order *o, const char *event, const char *detail);
/* The subproblems of the problem that comes next; takes over list, NULL: none. */
void order_blame(struct order *o, json_t *list);
/* In place of the last problem; with what order_blame was given. */
void order_problem(struct order *o, const struct problem *p);
/* What is known of the CA's order is not any more; saved by order_save_in, which order_drop follows
 * in the transaction: the challenges leave the fleet's state. */
void order_forget_ca(struct order *o);
void order_drop(struct order *o, struct txn *t);
/* One of its challenges, for the audit's row; "": none. */
const char *order_challenge(const struct order *o);
struct str order_names(const struct order *o);

/* Data plane `node` reported the CA's validation request for a challenge; false: not one of these.
 */
bool order_hit(struct order *o, struct str challenge_id, const char *node);

/* A signed POST with the account, as the last thing that its caller does: what fails at once is
 * replied at once, and without an account the step is begun again. After the lease's time the CA is
 * not asked any more, and the run ends: the fence keeps this control plane from writing, and this
 * from making a second order of the CA's. payload NULL: POST-as-GET. */
void order_post(struct order *o, enum client_endpoint endpoint, const char *url,
		const char *payload,
		void (*on_reply)(struct order *o, const struct client_reply *r));

/* The same with a payload that needs the CA's directory. */
void order_post_built(struct order *o, enum client_endpoint endpoint, client_build build,
		      void (*on_reply)(struct order *o, const struct client_reply *r));
/* The same beside others, for one of its authorizations. False: it could not be sent, and the step
 * is over already. */
bool order_post_about(struct authorization *a, enum client_endpoint endpoint, const char *url,
		      const char *payload,
		      void (*on_reply)(struct authorization *a,
				       const struct client_reply *r)) must_check;

#endif
