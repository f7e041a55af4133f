/* The ACME engine: orders as persisted state machines, challenges through the barrier, renewal.
 *
 * Any control plane may go on with any order; a lease (database time, with a fence) says who does.
 * owner: main, thread: the loop.
 */
#ifndef CARDEA_ACME_ACME_H
#define CARDEA_ACME_ACME_H

#include <jansson.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/metrics/metrics.h"
#include "common/net/addr.h"
#include "common/net/loop.h"
#include "common/pki/key.h"
#include "control-plane/acme/message.h"
#include "control-plane/acme/authority_conf.h"
#include "control-plane/acme/dns01_conf.h"
#include "control-plane/acme/revocation_reason.h"
#include "control-plane/fleet/fleet.h"
#include "control-plane/store/store.h"

struct acme;

struct acme_conf {
	const char *control_plane_id;
	const struct authority_conf *authority; /* the configured one, which comes first; NULL:
						   none. Others: the entity acme_authorities */
	const char *ca_file; /* acme_ca_file: what authorities are trusted by that bring no trust of
				their own (the plugin's); NULL: the system's */
	const char *egress;  /* acme_egress_address: what connections to authorities come from,
				and so whose budgets they draw on; NULL: any, and one budget for all
				control planes */
	const char *webhook_url; /* acme_webhook_url; NULL: nobody is told */
	const char *webhook_secret,
		*webhook_ca_file;		    /* acme_webhook_...; NULL: none, the system's */
	uint64_t webhook_queue;			    /* acme_webhook_queue: notices that are kept */
	size_t storage_value_max, storage_keys_max; /* acme_storage_... (storage.h) */
	const char *storage_ca_file;		    /* NULL: the system's */
	struct addr dns_server;			    /* dns_resolver, of pre-flight */
	bool dns_server_given;			    /* else that of /etc/resolv.conf */
	struct dns01_conf dns01;		    /* acme_dns_*: records of dns-01 */
	unsigned preflight_port; /* acme_preflight_port: what http-01 is fetched from: 80 */
	bool allow_private; /* acme_allow_private: loopback and private CA addresses (development)
			     */
	enum key_type key_type; /* of certificates */
	/* acme_challenges: those that are used, best first; none: http-01. */
	enum challenge_type challenges[CHALLENGE_TYPES];
	size_t challenge_count;
	const char *profile;	     /* acme_profile; NULL: none */
	bool profile_required;	     /* acme_profile_policy = require */
	const char *preferred_chain; /* acme_preferred_chain; NULL: as the CA likes */
	const char *chain_roots;     /* acme_chain_roots: PEM file; NULL: none */
	unsigned max_in_flight;	     /* acme_max_in_flight: orders at work with the CA at once */
	uint64_t barrier_timeout_ms; /* acme_barrier_timeout: 10,000 */
	bool barrier_required; /* acme_barrier_policy = require: retry later instead of going on
				  without the late nodes */
	unsigned park_after; /* acme_park_after: failures in a row by the fault of a name's owner */
	double renew_fraction;	 /* acme_renew_fraction: renew when so much of the lifetime is left:
				    0.333 */
	uint64_t lease_ms;	 /* acme_lease: 15,000 */
	bool ocsp_fetch;	 /* ocsp_fetch: responders are asked about certificates */
	bool ocsp_allow_private; /* ocsp_allow_private: also those on private addresses */
	uint64_t ocsp_timeout_ms;  /* ocsp_timeout: for one question: 10,000 */
	unsigned ocsp_fetches_max; /* ocsp_fetches_max: questions at a time: 8 */
	bool audit;		   /* audit_log: what the engine writes is noted */
	struct metrics *metrics;
};

/* Begins to work on due orders. ERR_DENIED: the directory URL is refused; ERR_INVALID: the CA
 * bundle cannot be read. c is copied. */
int acme_start(struct acme **out, struct loop *l, struct store *s, struct fleet *f,
	       const struct acme_conf *c, struct err *e) must_check;
/* Before fleet and store. Orders at work stay as they were stored last; closed comes later, when
 * nothing is under way. */
void acme_close(struct acme *a, void (*closed)(void *arg), void *arg);

/* Checks and normalises a host for an order: lower case, an IP address as RFC 8738 writes it;
 * wildcard, over-long, non-ASCII, bad labels are ERR_INVALID with the reason. out has at least 254
 * bytes. */
int acme_host(struct str host, char *out, struct err *e) must_check;
/* The same, or "*." before one of two labels or more: dns-01 alone proves those. */
int acme_name(struct str name, char *out, struct err *e) must_check;
/* Whether names with "*." can be proved: dns-01 is configured. */
bool acme_proves_wildcards(const struct acme *a);

/* note, here and below: for the audit, copied; NULL: none.
 * Makes an order for a set of names, or returns the live one for the same set.
 * r->rows[0] is the order as show_orders shapes it; r->affected is 1 when it was made now. */
struct acme_wish {
	const char *names;    /* of names_make */
	const char *key_type; /* NULL: the configured one */
	/* Of a second certificate for the same names, of the other algorithm; NULL: none. */
	const char *key_type_alt;
	const char *profile;	     /* NULL: the configured one */
	bool profile_required;	     /* without it the order fails, else it is only preferred */
	const char *preferred_chain; /* common name of the topmost issuer; NULL: the configured */
	int64_t not_after;	     /* seconds since 1970; 0: as the authority likes */
	/* Config of the plugin acme, as the caller has just read it; else what the engine knows. */
	const json_t *policy;
	bool policy_read;
};
/* The configured key type. */
enum key_type acme_key_type(const struct acme *a);
/* Whether both are RSA, or both ECDSA. */
bool acme_same_algorithm(enum key_type a, enum key_type b);
/* Whether an authority is known now: without one orders wait until there is. */
bool acme_has_authority(const struct acme *a);
void acme_request(struct acme *a, const struct acme_wish *w, const struct store_note *note,
		  store_done done, void *arg);
/* Orders, newest first: of a host (any name of theirs), or of a state, or all; size rows after
 * `after` (id or STR_NONE). Rows in shown shape. */
void acme_orders(struct acme *a, struct str host, struct str state, unsigned size, struct str after,
		 store_done done, void *arg);
/* One order by id with "missing_nodes" of its barrier while it is publishing. rows empty: none. */
void acme_order(struct acme *a, struct str id, store_done done, void *arg);
/* Fails the order's wait: next attempt now. rows empty: no live order with this id. */
void acme_retry(struct acme *a, struct str id, const struct store_note *note, store_done done,
		void *arg);
/* Renews now what is due, all valid orders when force. affected: how many. (PATCH /acme) */
void acme_renew(struct acme *a, bool force, const struct store_note *note, store_done done,
		void *arg);

/* --- pre-flight --- */

/* Whether http-01 would succeed for a host (of acme_host): a challenge of our own is put on every
 * data plane, and fetched from every address that DNS has for the name. note's texts must stay
 * until done. rows[0]: {"host","passed","problem" (what to
 * do)|null,"data_planes","addresses":[{"address", "passed","status"|null}]}. */
void acme_preflight(struct acme *a, const char *host, const struct store_note *note,
		    store_done done, void *arg);

/* --- revocation --- */

struct acme_revocation {
	const struct revocation_reason *reason;
	bool replace; /* the names get another certificate */
};
/* Asks the authorities that issued what a certificate entity holds (one, or two of a pair) to
 * revoke it; which: its id, or a name that it serves. What is revoked already is done. note's texts
 * must stay until done. rows[0]: {"certificate","code","reason","revoked","already","replacement"
 * (the order's id)|null,"problem" (of the authority; null: none),"refused"}; with a problem nothing
 * of the rest is revoked, and a replacement was ordered only because the key may be known to
 * others. STORE_NOT_FOUND: none of ours. */
void acme_revoke(struct acme *a, struct str which, const struct acme_revocation *w,
		 const struct store_note *note, store_done done, void *arg);

/* --- mass replacement --- */

struct acme_replacement {
	const char *issuer;  /* name or directory of the authority that issued; NULL: any */
	const char *tag;     /* of the certificate; NULL: any */
	unsigned per_minute; /* orders that begin; 0: as fast as the budgets allow */
};
/* Orders another certificate for each of those that are renewed. rows[0]: {"id" (which the orders
 * have as `replacement`),"orders","skipped" (an order was at work already, or the name is gone)}.
 */
void acme_replace(struct acme *a, const struct acme_replacement *w, const struct store_note *note,
		  store_done done, void *arg);

/* --- what Kong has --- */

struct acme_takeover {
	/* Of the plugin acme, or its "storage" and "storage_config" alone; "api_uri", when it is
	 * there, is the authority of what is taken. NULL: that of the plugin here. */
	const json_t *config;
	const json_t *rows; /* [{"key","value"}] instead of a storage; NULL: none */
	bool dry_run;	    /* nothing is written */
	bool force;	    /* manual certificates, and those that end later, are replaced */
};
/* Takes accounts, certificates with their keys, and the names that are renewed, out of a storage of
 * Kong's plugin acme (kong_layout.h). One at a time. rows[0]: {"storage","dry_run","keys","taken",
 * "unchanged","left","refused","revision","rows":[{"key","kind","host"|"email","result","reason",
 * "certificate","not_after"}],"rows_left_out"}. STORE_FAILED with ERR_INVALID: the settings are
 * wrong; ERR_CONFLICT: one is under way; ERR_LIMIT, ERR_DENIED, ERR_UNAVAILABLE, ERR_TIMEOUT: the
 * storage's. note's texts must stay until done. */
void acme_take_over(struct acme *a, const struct acme_takeover *w, const struct store_note *note,
		    store_done done, void *arg);

/* --- accounts --- */

enum account_change_kind {
	ACCOUNT_CHANGE_AGREE,
	ACCOUNT_CHANGE_CONTACT,	   /* value: array of "mailto:..." */
	ACCOUNT_CHANGE_DEACTIVATE, /* for ever; the next order makes another account */
	ACCOUNT_CHANGE_KEY, /* value: null, or text of a PEM or JWK; done when it is stored: the
			       change itself waits for challenges that need the old key */
	ACCOUNT_CHANGES,
};
/* All, as rows {"id","directory","email","url","contact","terms_url","last_problem","eab_kid",
 * "key_change_pending","deactivated_at","created_at"}. */
void acme_accounts(struct acme *a, store_done done, void *arg);
/* value: see the kind; copied. rows[0]: the account afterwards. STORE_NOT_FOUND: none with this id
 * at an authority that is configured; STORE_FAILED with ERR_INVALID: the authority, or the key,
 * says no; STORE_UNAVAILABLE: closed meanwhile. */
void acme_account_change(struct acme *a, struct str id, enum account_change_kind kind,
			 const json_t *value, const struct store_note *note, store_done done,
			 void *arg);
/* [{"name","directory","breaker","open_seconds","budget_seconds","account_blocked","orders"}] in
 * order of preference, as this control plane sees them. NULL when out of memory. */
json_t *acme_authorities(struct acme *a);

#endif
