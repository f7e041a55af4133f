/* One authorization of an order (RFC 8555 section 7.1.4): which name, and how it is proved.
 *
 * Kept in the order's row (acme_orders.authorizations) as an array of
 *    {"url"} | {"url","name","valid":true} | {"url","name","type","challenge_url","challenge_id"}
 *     unread           proved                     its challenge is in the fleet's state, or in DNS:
 *                                                 challenge_id is that of acme_dns_records then
 * owner: the order, thread: the loop.
 */
#ifndef CARDEA_ACME_AUTHORIZATION_H
#define CARDEA_ACME_AUTHORIZATION_H

#include <jansson.h>
#include <stdbool.h>

#include "common/core/codec.h"
#include "control-plane/acme/client.h"
#include "control-plane/acme/message.h"

struct order;

struct authorization {
	/* Of the row; texts are "" where there is none. */
	char url[ACME_URL_SIZE];
	char name[256];
	bool valid;
	enum challenge_type type; /* of the challenge; says nothing while challenge_url is "" */
	char challenge_url[ACME_URL_SIZE];
	char challenge_id[UUID_TEXT_SIZE];

	/* This run. */
	struct order *order;
	struct client_call *call;
	void (*on_reply)(struct authorization *a, const struct client_reply *r);
	char token[ACME_TOKEN_SIZE]; /* between its reading and its publishing */
	struct problem problem;	     /* set: it will never be valid */
	unsigned rereads;
	bool hit; /* a data plane reported a validation request */
};

struct authorizations {
	struct authorization *items;
	size_t count;
};

/* Out of the row, or out of a list of URLs; the order is set in each. NULL or no array: none.
 * ERR_INTERNAL: the row is broken. Replaces what was there. */
int authorizations_load(struct authorizations *all, const json_t *list, struct order *o,
			struct err *e) must_check;
/* Nothing may be under way. Leaves it empty. */
void authorizations_free(struct authorizations *all);
/* Forgets what is under way. */
void authorizations_cancel(struct authorizations *all);
/* For the row; NULL when out of memory. */
json_t *authorizations_json(const struct authorizations *all);
/* Whether its challenge is one that data planes answer; else it is a record of DNS (dns01.h). */
bool authorization_in_fleet(const struct authorization *a);
/* The ids of such challenges as PostgreSQL writes an array: "{id,id}". */
int authorizations_challenges(const struct authorizations *all, struct buf *out,
			      struct err *e) must_check;
/* How many are neither valid nor spent. */
size_t authorizations_open(const struct authorizations *all);
/* How many have a challenge in the fleet's state, or in DNS. */
size_t authorizations_in_fleet(const struct authorizations *all);
size_t authorizations_in_dns(const struct authorizations *all);
/* [{"type","detail","status","identifier":{"type","value"}}] of the spent ones (RFC 8555 section
 * 6.7.1); NULL when out of memory. *first: the first of them, *n: how many; 0: none. */
json_t *authorizations_blame(const struct authorizations *all, const struct authorization **first,
			     size_t *n);

#endif
