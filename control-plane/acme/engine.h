/* The insides of struct acme, for the files of this folder. owner: main, thread: the loop. */
#ifndef CARDEA_ACME_ENGINE_H
#define CARDEA_ACME_ENGINE_H

#include "control-plane/acme/account.h"
#include "control-plane/acme/acme.h"
#include "control-plane/acme/client.h"
#include "control-plane/acme/fetch.h"
#include "control-plane/acme/order.h"

enum acme_result { ACME_RESULT_VALID, ACME_RESULT_FAILED, ACME_RESULT_RETRY, ACME_RESULTS };

struct acme {
	struct loop *loop;
	struct store *store;
	struct fleet *fleet;
	struct acme_conf conf; /* strings owned */
	struct fetcher *fetcher;
	struct client *client;
	struct account *account;

	struct link orders; /* struct order at work */
	unsigned at_work;   /* how many, with those that only wait to be freed */
	struct timer tick;  /* the scheduler's second */
	struct timer beat;  /* lease heartbeat */
	bool taking;	    /* a query for due orders is out */
	bool take_again;    /* it was asked for meanwhile */
	bool renewing;
	bool beating;
	uint64_t take_asked_ns, beat_asked_ns; /* when the running query was sent */
	uint64_t adopt_at_ns, prune_at_ns;

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

/* steps.c: does what the order's state asks for. */
void order_step(struct order *o);
/* The order cannot go on now: stores the problem and what its rule says (again later, anew, or
 * failed). */
void order_trouble(struct order *o, const struct problem *p);
/* The same when the CA's order or authorization says by itself that it will never be valid: what
 * the rule would only ask again later needs a new order. */
void order_spent(struct order *o, const struct problem *p);
/* install.c: checks the certificate that came and puts it into the fleet's state. */
void order_install(struct order *o, struct str chain_pem);
void install_free(struct install *i);

/* acme.c */
void acme_count(struct acme *a, enum acme_result result);
/* An order was freed. */
void acme_order_gone(struct acme *a);
/* Around each query of the engine; false from acme_awoke: closing, do nothing. */
void acme_sleep(struct acme *a);
bool acme_awoke(struct acme *a);

#endif
