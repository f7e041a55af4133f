/* Who sends a request, and whether they may.
 *
 *   off ───────────────────────────────────────▶ anonymous, everything
 *   required ─▶ token? ─▶ throttle (429) ─▶ its row (401, 503) ─▶ its role
 *           └─▶ certificate? ─▶ its page (403) ─▶ admin_client_roles ─▶ a role, or none
 *           └─▶ neither: 401
 *
 * A token is looked up for every request, so that a revoked one ends at once, also on connections
 * that are open. Thread: the loop.
 */
#ifndef CARDEA_ADMIN_ACCESS_H
#define CARDEA_ADMIN_ACCESS_H

#include "common/metrics/metrics.h"
#include "control-plane/admin/client_roles.h"
#include "control-plane/admin/throttle.h"

struct admin_request;

enum {
	ACCESS_NAME_SIZE = CLIENT_SUBJECT_SIZE,
};

/* Who a request comes from. */
struct identity {
	enum role role;
	bool keys;		     /* private keys are shown */
	const char *kind;	     /* "anonymous", "token", "certificate" */
	char name[ACCESS_NAME_SIZE]; /* "anonymous", the token's name, the certificate's subject */
};

/* Why a request was refused: label of a metric. */
enum access_failure {
	ACCESS_MISSING,	  /* no credentials */
	ACCESS_AMBIGUOUS, /* more than one token */
	ACCESS_MALFORMED, /* another scheme, or not a token's text */
	ACCESS_UNKNOWN,	  /* no such token, or not any more, or a wrong secret */
	ACCESS_EXPIRED,	  /* token or certificate */
	ACCESS_FORBIDDEN, /* known, but the role is not enough */
	ACCESS_CROSS_ORIGIN,
	ACCESS_THROTTLED,
	ACCESS_FAILURES,
};

struct access {
	bool required;		   /* admin_auth */
	const char *origins;	   /* admin_gui_origin; NULL: none */
	struct client_roles roles; /* admin_client_roles */
	struct throttle throttle;
	struct metric_series *failures[ACCESS_FAILURES]; /* NULL: not counted */
};

struct access_conf {
	bool required;
	const char *origins;	  /* lives as long as the access */
	const char *client_roles; /* likewise */
	unsigned failures_max;	  /* admin_auth_failures_max */
	struct metrics *metrics;
};

/* ERR_INVALID: client_roles cannot be read. */
int access_init(struct access *a, const struct access_conf *c, struct err *e) must_check;
/* Frees the throttle's table. */
void access_deinit(struct access *a);
/* Finds out who sent r (r->who), then runs next, maybe at once; else answers 400, 401, 403, 429 or
 * 503. */
void access_identify(struct admin_request *r, void (*next)(struct admin_request *r));
/* Whether r->who may use a route of this pattern with r's method. Answers 403 unless true. */
bool access_allowed(struct admin_request *r, const char *pattern) must_check;

#endif
