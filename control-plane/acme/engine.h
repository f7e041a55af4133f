/* The insides of struct acme, for the files of this folder. owner: main, thread: the loop. */
#ifndef CARDEA_ACME_ENGINE_H
#define CARDEA_ACME_ENGINE_H

#include "common/core/map.h"
#include "control-plane/acme/acme.h"
#include "control-plane/acme/authority.h"
#include "control-plane/acme/dns01.h"
#include "control-plane/acme/group.h"
#include "control-plane/acme/lane.h"
#include "control-plane/acme/notices.h"
#include "control-plane/acme/order.h"
#include "control-plane/acme/policy.h"

enum acme_result { ACME_RESULT_VALID, ACME_RESULT_FAILED, ACME_RESULT_RETRY, ACME_RESULTS };

struct acme {
	struct loop *loop;
	struct store *store;
	struct fleet *fleet;
	struct acme_conf conf;		/* strings owned */
	struct link authorities;	/* in order of preference */
	struct authority *configured;	/* the one of the configuration; NULL: none */
	char *authorities_seen;		/* of the entities, when they were read last */
	struct link notice_posts;	/* of notices.c, under way */
	struct fetcher *notice_fetcher; /* made by the first; NULL: none yet */
	bool notices_claiming;
	bool authorities_reading;
	json_t *policy;	     /* config of the plugin acme (policy.h); NULL: none */
	struct link leaving; /* those that are not configured any more */

	struct link orders;    /* struct order at work */
	struct map by_id;      /* the same by id */
	struct link admitting; /* struct order.admission: to get an authority */
	/* Orders that ask the database the same together. */
	struct group sni_checks; /* steps.c: before a new order */
	struct group saves;	 /* order_save.c */
	struct group publishes;	 /* validate.c: challenges into the fleet's state */
	struct group placements; /* install.c: where the names' SNIs point */
	struct group installs;	 /* install.c: certificates into the fleet's state */
	unsigned used[LANES];	 /* how many of each lane */
	unsigned at_work;	 /* how many, with those that only wait to be freed */
	struct timer tick;	 /* the scheduler's second */
	struct timer beat;	 /* lease heartbeat */
	struct timer take_timer; /* to look for due orders */
	bool taking;		 /* a query for due orders is out */
	bool take_again;	 /* it was asked for meanwhile */
	bool renewing;
	bool beating;
	uint64_t take_asked_ns, beat_asked_ns; /* when the running query was sent */
	uint64_t adopt_at_ns, prune_at_ns;

	struct {
		struct link waiting;	 /* struct dns01_job, for a thread of the pool */
		unsigned running;	 /* that have one */
		struct dns01_job *sweep; /* NULL: none is under way */
		struct fetcher *fetcher; /* of the webhook, made by the first; NULL: none yet */
		struct metric_series *results[DNS01_RESULTS]; /* NULL without metrics */
	} dns01;
	struct link preflights; /* of preflight.c, which wait for the fleet or an answer */
	struct fetcher *preflight_fetcher; /* made by the first; NULL: none yet */
	struct link revokes;		   /* of revoke.c, which wait for an authority */
	struct link ari_asks;		   /* of ari.c, under way */
	bool ari_claiming;
	uint64_t ari_learn_ns;	   /* not sooner */
	struct stapling *stapling; /* stapling.h; NULL: off */
	struct chain_roots *roots; /* acme_chain_roots; NULL: none */

	struct takeover *takeover;	     /* takeover.c; NULL: none */
	struct write_through *write_through; /* write_through.c; NULL: none */
	bool write_through_claiming;

	unsigned outstanding; /* queries of the engine itself that will still call back */
	unsigned parts_open;  /* while closing: parts that have not said closed */
	bool closing;
	void (*closed)(void *arg);
	void *closed_arg;

	struct metric_series *results[ACME_RESULTS]; /* NULL without metrics */
	struct metric_series *in_flight;
};

/* schedule.c */
void schedule_start(struct acme *a);
/* Looks for due orders now. */
void schedule_kick(struct acme *a);
/* Makes renewal orders for up to RENEW_BATCH valid ones that are due (all when force); done gets
 * those that were due as rows: fewer than RENEW_BATCH, and there are no more. */
enum { RENEW_BATCH = 1000 };
void schedule_renew(struct acme *a, bool force, const struct store_note *note, store_done done,
		    void *arg);
/* How many of such rows got a new order: not those whose SNI is gone or that have one already. */
size_t schedule_made(const json_t *rows);

/* Config of the plugin acme, when it is for these names; NULL: it is not. */
const json_t *acme_policy(const struct acme *a, struct str names);

/* authorities.c: the list. configured may be NULL. */
int authorities_start(struct acme *a, const struct authority_conf *configured,
		      struct err *e) must_check;
/* Looks whether acme_authorities changed, once in a while. */
void authorities_watch(struct acme *a);

/* admission.c: finds an authority for an order that was taken, and begins its step. */
void admission_add(struct acme *a, struct order *o);
/* Another authority that could take it now; NULL: none. */
struct authority *admission_other(const struct order *o);
/* Goes on with those that were added. */
void admission_run(struct acme *a);

/* steps.c: does what the order's state asks for. */
void order_step(struct order *o);
/* All names are proved: on to the certificate. */
void order_finalize(struct order *o);
/* Looks again after a growing pause, or gives up after CA_WAIT_S since order_poll_begin. */
void order_poll_begin(struct order *o);
void order_poll_later(struct order *o, int64_t retry_after_ms, void (*look)(struct order *o));
/* order_trouble with an error of this side. */
void order_trouble_err(struct order *o, const char *kind, const struct err *e);
/* steps.c, acme.sni_checks: no SNI of the names is somebody else's. */
void order_check_snis(struct group_batch *b);
/* publish.c, acme.publishes. */
void order_publish_batch(struct group_batch *b);
/* validate.c: the states before it. */
void order_step_authorizing(struct order *o);
void order_step_publishing(struct order *o);
void order_step_validating(struct order *o);
/* The order cannot go on now: stores the problem and what its rule says (again later, anew, or
 * failed). */
void order_trouble(struct order *o, const struct problem *p);
/* The same when the CA's order or authorization says by itself that it will never be valid: what
 * the rule would only ask again later needs a new order. */
void order_spent(struct order *o, const struct problem *p);
/* The authority that has it is out of use: its order there is forgotten, and it begins anew at
 * another. */
void order_move_on(struct order *o);
/* download.c: fetches the certificate, by the chain that is wanted. */
void order_download(struct order *o);
void download_free(struct download *d);
/* ari.c: what the CAs say about renewal (RFC 9773). Begins with the certificates of a transaction
 * that makes orders valid; each is asked about for the first time after a twentieth of its life, an
 * hour at most: nothing new would be renewed at once, and many are often made together.
 * rows: a JSON array of what ari_row gives, which is the caller's (NULL: memory). ari_id: NULL: it
 * has none. */
json_t *ari_row(const struct order *o, const char *ari_id, int64_t not_before);
void ari_watch(struct txn *t, const char *rows);
/* Asks for those that are due; once a second. */
void ari_tick(struct acme *a);
/* Forgets what is under way. */
void ari_close(struct acme *a);
/* preflight.c: the same. */
void preflights_close(struct acme *a);
/* revoke.c: answers those that wait. */
void revokes_close(struct acme *a);
/* write_through.c: what was issued, into the plugin's storage; once a second. */
void write_through_tick(struct acme *a);
/* Ends what is under way. */
void write_through_close(struct acme *a);
/* takeover.c: ends it, and answers who asked. */
void takeover_close(struct acme *a);
/* install.c: checks the certificate that came and puts it into the fleet's state. */
void order_install(struct order *o, struct str chain_pem);
void install_free(struct install *i);
/* acme.placements, acme.installs */
void install_place_batch(struct group_batch *b);
void install_batch(struct group_batch *b);

/* acme_conf.c: all texts are the copy's, also when one is missing; what is "" is NULL. */
int acme_conf_copy(struct acme_conf *out, const struct acme_conf *c, struct err *e) must_check;
void acme_conf_free(struct acme_conf *c);
/* acme.c */
void acme_count(struct acme *a, enum acme_result result);
/* An order was freed. */
void acme_order_gone(struct acme *a);
/* One of the parts has closed. */
void acme_part_closed(struct acme *a);
/* Directory of the authority that is preferred; "" without any. */
const char *acme_home(const struct acme *a);
/* Around each query of the engine; false from acme_awoke: closing, do nothing. */
void acme_sleep(struct acme *a);
bool acme_awoke(struct acme *a);

#endif
