/* One CA that certificates can be had from: its HTTPS client, its nonces, our account there, and
 * how it is doing. The engine has a list of them in order of preference; each order that has begun
 * at one stays with it until the CA's order is given up.
 *
 *    create --> on the list --(configuration changed)--> leaving --(no order uses it)--> closed
 *
 * owner: the ACME engine, thread: the loop. */
#ifndef CARDEA_ACME_AUTHORITY_H
#define CARDEA_ACME_AUTHORITY_H

#include <stdbool.h>

#include "common/core/list.h"
#include "common/net/loop.h"
#include "control-plane/acme/account.h"
#include "control-plane/acme/authority_conf.h"
#include "control-plane/acme/breaker.h"
#include "control-plane/acme/client.h"
#include "control-plane/acme/fetch.h"
#include "control-plane/acme/limit.h"

struct acme;

struct authority {
	struct link link; /* on acme.authorities or acme.leaving */
	struct acme *acme;
	struct authority_conf conf; /* strings owned */
	struct limits limits;
	struct fetcher *fetcher;
	struct client *client;
	struct account *account;
	struct breaker breaker;
	unsigned users;	     /* orders at work here */
	unsigned parts_open; /* of it, while closing */
	bool leaving, closing;
	bool of_plugin; /* for names that acme.policy covers, and no others */
	/* No new order before then (monotonic): the budget of everybody here is used up. */
	uint64_t budget_ns;
};

/* c is copied. ERR_DENIED: the URL is refused; ERR_INVALID: the bundle cannot be read. */
int authority_create(struct authority **out, struct acme *a, const struct authority_conf *c,
		     struct err *e) must_check;
/* Closes it and frees it later, as soon as no order uses it; acme_part_closed is called then. */
void authority_leave(struct authority *au);

/* An order works with it, and does not any more. */
void authority_use(struct authority *au);
void authority_release(struct authority *au);

/* How many orders it may be given more now, by its health. */
unsigned authority_room(struct authority *au);
/* Whether it takes orders that count against everybody's budget there. */
bool authority_has_budget(const struct authority *au);
/* Its breaker is not closed: it may be back at the next request, or not. */
bool authority_away(struct authority *au);
/* It has been out of use for so long that what waits for it is better begun anew elsewhere. */
bool authority_lost(struct authority *au);
/* A certificate with less left than this cannot wait for that. */
enum { AUTHORITY_LOST_S = 60, AUTHORITY_WAIT_S = 4 * AUTHORITY_LOST_S };

/* Whether it was made of the same configuration. */
bool authority_is(const struct authority *au, const struct authority_conf *c);
/* By directory; NULL: not configured. */
struct authority *authority_find(struct acme *a, const char *directory);

#endif
