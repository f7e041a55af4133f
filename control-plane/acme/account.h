/* Our account at the CA: made once per CA and e-mail address by whichever control plane is first,
 * kept in the database with its key sealed.
 *
 *    IDLE --(somebody needs it)--> READING --(no row)--> MAKING --> READING
 *                                     |  `--(url stored)--------------------> READY
 *                                     v
 *                                  LEASING --(another registers)--> READING (after a pause)
 *                                     |
 *                                     v
 *               (an external account binding is fetched) BINDING
 *                                     v
 *                                REGISTERING --> SAVING --> READY --(CA forgot it)--> IDLE
 *    every failure: back to IDLE, and everybody who waits gets the problem
 *
 * owner: the ACME engine, thread: the loop.
 */
#ifndef CARDEA_ACME_ACCOUNT_H
#define CARDEA_ACME_ACCOUNT_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "common/core/list.h"
#include "common/core/sm.h"
#include "common/net/loop.h"
#include "control-plane/acme/acme.h"
#include "control-plane/acme/client.h"
#include "control-plane/acme/jws.h"
#include "control-plane/store/store.h"

enum account_state {
	ACCOUNT_IDLE,
	ACCOUNT_READING,
	ACCOUNT_MAKING,
	ACCOUNT_LEASING,
	ACCOUNT_BINDING,
	ACCOUNT_REGISTERING,
	ACCOUNT_SAVING,
	ACCOUNT_READY,
	ACCOUNT_STATES,
};
extern const struct sm account_sm;

struct account_conf {
	struct loop *loop;
	struct store *store;
	struct client *client;
	struct fetcher *fetcher;
	const char *control_plane_id; /* these strings are borrowed */
	const char *directory;
	const char *email;    /* "": none */
	const char *eab_kid;  /* external account binding (RFC 8555 section 7.3.4); NULL: none */
	const char *eab_hmac; /* base64url, secret */
	const char *eab_url;  /* where one is given for an e-mail address; NULL: nowhere */
	const char *key;      /* PEM or JWK of a new account, secret; NULL: one is made */
	bool agree;	      /* to new terms of service, by itself */
	uint64_t lease_ms;
};

struct account;

/* Embedded by whoever waits; on no list outside of account_wait. */
struct account_waiter {
	struct link link;
	/* problem NULL: the account is ready. */
	void (*done)(struct account_waiter *w, const struct problem *p);
};

/* Nothing happens before the first account_wait. */
int account_create(struct account **out, const struct account_conf *c, struct err *e) must_check;
/* Waiters must be gone. closed comes later, once, when nothing is under way any more. */
void account_close(struct account *a, void (*closed)(void *arg), void *arg);

/* Calls w->done later, once, when the account is ready or could not be had. list_remove(&w->link)
 * cancels. */
void account_wait(struct account *a, struct account_waiter *w);
bool account_ready(const struct account *a);
/* While ready: the key, the account URL, the thumbprint for key authorizations. */
EVP_PKEY *account_key(const struct account *a);
const char *account_kid(const struct account *a);
const char *account_thumbprint(const struct account *a);
/* The CA says that kid does not exist: the next account_wait registers again. Does nothing when
 * kid is not the current one any more. */
void account_forget(struct account *a, const char *kid);

/* Nothing new may be begun with it: the terms are to be agreed to, or its key is being replaced. */
bool account_blocked(const struct account *a);
/* Its key is being replaced: no challenge is published meanwhile. */
bool account_draining(const struct account *a);
/* Looks at the row, once a second: another control plane may have changed it. */
void account_watch(struct account *a);
/* The CA asks for an agreement (userActionRequired); url: where it says so, or NULL. Everybody
 * waits for account_change or, when it may agree by itself, for the CA. */
void account_refused(struct account *a, const struct problem *p, const char *url);

/* Asks the CA, stores, and calls done (may be NULL) later, once; p NULL: done. Not called when the
 * account is closed before. value is copied; may be NULL. */
void account_change(struct account *a, enum account_change_kind kind, const json_t *value,
		    void (*done)(const struct problem *p, void *arg), void *arg);
/* The row's id; "": not read yet. */
const char *account_id(const struct account *a);

#endif
