/* What the files of issuance on demand share; nobody else includes it. owner: main, thread: the
 * loop. */
#ifndef CARDEA_ACME_ON_DEMAND_INTERNAL_H
#define CARDEA_ACME_ON_DEMAND_INTERNAL_H

#include "common/core/map.h"
#include "control-plane/acme/fetch.h"
#include "control-plane/acme/on_demand.h"

enum want_state { WANT_LOOKING, WANT_ASKING, WANT_RESERVING, WANT_ORDERING, WANT_STATES };

/* What became of a want. */
enum outcome {
	OUTCOME_ORDERED,
	OUTCOME_UNDER_WAY, /* there is an order */
	OUTCOME_KNOWN,	   /* there is a certificate */
	OUTCOME_INVALID,
	OUTCOME_NOT_ALLOWED, /* by the patterns */
	OUTCOME_ASK_REFUSED,
	OUTCOME_ASK_FAILED,
	OUTCOME_CLIENT_BUDGET,
	OUTCOME_DOMAIN_BUDGET,
	OUTCOME_NAME_BUDGET,
	OUTCOME_FAILING, /* its order fails */
	OUTCOME_BUSY,
	OUTCOME_UNAVAILABLE, /* no authority, no database, no memory */
	OUTCOMES,
};
/* As metrics and the log call them. */
extern const char *const on_demand_outcomes[OUTCOMES];

struct on_demand {
	struct loop *loop;
	struct store *store;
	struct fleet *fleet;
	struct acme *acme;
	struct on_demand_conf conf; /* domains and ask are owned */
	struct on_demand_limits limits;
	struct fetcher *fetcher;	    /* NULL: no ask */
	struct map wants;		    /* struct want by host */
	uint64_t told_ns[ON_DEMAND_LIMITS]; /* when a budget was warned of last; 0: never */
	struct metric_series *results[OUTCOMES];
	struct metric_series *deciding;
	unsigned open; /* wants, fetcher and itself that have not ended */
	bool closing;
	void (*closed)(void *arg);
	void *closed_arg;
};

struct asker {
	struct asker *next;
	char node_id[UUID_TEXT_SIZE];
};

/* One name that is decided on. */
struct want {
	struct on_demand *d;
	enum want_state state;
	struct fetch *fetch;  /* ASKING */
	struct asker *askers; /* data planes that wait for the answer */
	char host[ON_DEMAND_HOST_SIZE];
	char client[ADDR_TEXT_SIZE]; /* of who asked first */
};

/* on_demand.c */
/* A data plane wants a certificate; arg: struct on_demand. */
void on_demand_want(const struct fleet_want *f, void *arg);
/* Frees it without an answer. */
void on_demand_forget(struct want *w);
/* One of the parts that `open` counts has ended. */
void on_demand_release(struct on_demand *d);

#endif
