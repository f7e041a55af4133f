/* Where to connect next: a libpq connection string taken apart, one host per attempt, each attempt
 * starting at another. Private to control-plane/store/pg.c. Thread: the loop. */
#ifndef CARDEA_STORE_PG_TARGET_H
#define CARDEA_STORE_PG_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/core/err.h"

enum { PG_PARAMS_MAX = 64, PG_HOSTS_MAX = 16 };

struct pg_host {
	char *host;	/* name, address, or folder of a unix socket; NULL: libpq's default */
	char *hostaddr; /* NULL: to be resolved */
	char *port;	/* NULL: libpq's default */
};

struct pg_target {
	/* private: NULL-terminated lists as PQconnectStartParams takes them; owned. The first three
	 * are host, hostaddr and port of the present attempt, borrowed from hosts. */
	const char *keywords[PG_PARAMS_MAX];
	char *values[PG_PARAMS_MAX];
	size_t param_count;
	struct pg_host hosts[PG_HOSTS_MAX];
	size_t host_count;
	size_t attempt; /* attempts made */
};

/* Server-side limits of a session, in ms; 0: none. */
struct pg_limits {
	unsigned statement_ms;
	unsigned lock_ms;
	unsigned idle_in_transaction_ms;
};

/* conninfo: key=value text or URI. What it leaves open gets the defaults of reliability-goals 15:
 * a writable server, keepalives, tcp_user_timeout. */
int pg_target_init(struct pg_target *t, const char *conninfo, const struct pg_limits *limits,
		   struct err *e) must_check;
void pg_target_deinit(struct pg_target *t);
/* Moves on to the next host and returns it. */
const struct pg_host *pg_target_next(struct pg_target *t);
/* Whether every host was tried as often as any other: the time to wait before the next round. */
bool pg_target_round_done(const struct pg_target *t);
/* The values to connect with now; address: of a resolved host, or NULL. Valid until the next call.
 */
const char *const *pg_target_values(struct pg_target *t, const char *address);

#endif
