/* The insides of struct account, for account*.c. owner: the authority, thread: the loop. */
#ifndef CARDEA_ACME_ACCOUNT_INTERNAL_H
#define CARDEA_ACME_ACCOUNT_INTERNAL_H

#include "common/core/codec.h"
#include "control-plane/acme/account.h"
#include "control-plane/acme/message.h"

enum { ACCOUNT_EAB_KID_SIZE = 256 };

struct roll;

struct account {
	struct account_conf conf;
	enum account_state state;
	struct link waiters;
	struct timer timer;
	struct work work; /* key generation */
	struct client_call *call;
	unsigned outstanding; /* store queries and work that will still call back */
	bool closing;
	bool pausing; /* READING, but only after the timer */
	void (*closed)(void *arg);
	void *closed_arg;

	char id[UUID_TEXT_SIZE]; /* "": not read yet */
	int64_t version;	 /* of the row, when it was read */
	EVP_PKEY *key;
	char kid[ACME_URL_SIZE];
	/* One that the CA does not know any more: taken out of the row before registering. */
	char stale_kid[ACME_URL_SIZE];
	char thumbprint[JWS_THUMBPRINT_SIZE];
	struct err work_err;
	char eab_kid[ACCOUNT_EAB_KID_SIZE]; /* that was fetched; "": none */
	struct buf eab_hmac;		    /* secret */
	struct fetch *fetch;		    /* of an external account binding */
	void (*eab_then)(struct account *a, const struct problem *p);

	/* The row, as it was seen last. */
	char terms[ACME_URL_SIZE]; /* to be agreed to; "": none */
	bool draining;		   /* its key is to be replaced */
	bool watching;
	struct roll *roll;   /* replacing it here; NULL: not */
	struct link changes; /* struct change */
};

/* Begins a query whose callback begins with account_awoke, and does nothing when that is false. */
void account_query(struct account *a, const char *sql, const char *const *params, size_t n,
		   store_done done, void *arg);
bool account_awoke(struct account *a);
/* What is kept in memory is not true any more: read again when it is needed. */
void account_reload(struct account *a);

/* eab.c: fetches an external account binding, then calls then(a, problem or NULL). */
void eab_fetch(struct account *a, void (*then)(struct account *a, const struct problem *p));
/* The JWS that binds key to it. */
int eab_sign(struct buf *out, const char *kid, struct str hmac_base64url, EVP_PKEY *key,
	     const char *url, struct err *e) must_check;

/* account_roll.c: replaces the key, when this control plane gets the lease for it. */
void roll_start(struct account *a);
void roll_cancel(struct account *a);
/* account_change.c: forgets what is asked; nobody is answered. */
void changes_cancel(struct account *a);

#endif
