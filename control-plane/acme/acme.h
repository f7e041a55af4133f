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
#include "common/net/loop.h"
#include "common/pki/key.h"
#include "control-plane/fleet/fleet.h"
#include "control-plane/store/store.h"

struct acme;

struct acme_conf {
	const char *control_plane_id;
	const char *directory; /* acme_directory: URL */
	const char *email;     /* acme_email; NULL: none */
	const char *ca_file;   /* acme_ca_file: trust for the CA's HTTPS; NULL: system store */
	bool allow_private; /* acme_allow_private: loopback and private CA addresses (development)
			     */
	enum key_type key_type;	     /* of certificates */
	unsigned max_in_flight;	     /* acme_max_in_flight: orders at work with the CA at once */
	uint64_t barrier_timeout_ms; /* acme_barrier_timeout: 10,000 */
	bool barrier_required; /* acme_barrier_policy = require: retry later instead of going on
				  without the late nodes */
	double renew_fraction; /* acme_renew_fraction: renew when so much of the lifetime is left:
				  0.333 */
	uint64_t lease_ms;     /* 15,000 */
	bool audit;	       /* audit_log: what the engine writes is noted */
	struct metrics *metrics;
};

/* Begins to work on due orders. ERR_DENIED: the directory URL is refused; ERR_INVALID: the CA
 * bundle cannot be read. c is copied. */
int acme_start(struct acme **out, struct loop *l, struct store *s, struct fleet *f,
	       const struct acme_conf *c, struct err *e) must_check;
/* Before fleet and store. Orders at work stay as they were stored last; closed comes later, when
 * nothing is under way. */
void acme_close(struct acme *a, void (*closed)(void *arg), void *arg);

/* Checks and normalises a host for an order: lower case; wildcard, IP, over-long, non-ASCII, bad
 * labels are ERR_INVALID with the reason. out has at least 254 bytes. */
int acme_host(struct str host, char *out, struct err *e) must_check;

/* note, here and below: for the audit, copied; NULL: none.
 * Makes an order for a host that acme_host passed, or returns the live one that covers it.
 * r->rows[0] is the order as acme_order_show shapes it; r->affected is 1 when it was made now.
 * key_type NULL: the configured one. */
void acme_request(struct acme *a, const char *host, const char *key_type,
		  const struct store_note *note, store_done done, void *arg);
/* Orders, newest first: of a host, or of a state, or all; size rows after `after` (id or STR_NONE).
 * Rows in shown shape. */
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

#endif
