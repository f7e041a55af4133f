/* The admin API: Kong's shapes over HTTP/1.1 and HTTP/2 (kong-admin-api.md), with Cardea's
 * revisions. owner: main, thread: the loop. */
#ifndef CARDEA_ADMIN_ADMIN_H
#define CARDEA_ADMIN_ADMIN_H

#include "common/conf/conf.h"
#include "common/metrics/metrics.h"
#include "common/net/addr.h"
#include "common/net/loop.h"
#include "control-plane/acme/acme.h"
#include "control-plane/admin/access.h"
#include "control-plane/admin/audit_keeper.h"
#include "control-plane/fleet/fleet.h"
#include "control-plane/store/store.h"

struct admin;
struct import_gate; /* import_api.c: how many imports run */

struct admin_conf {
	struct listen_list listen;
	struct listen_list status_listen; /* /status, /status/ready, /metrics only */
	const char *cert_file, *key_file; /* for entries with ssl */
	const char *client_ca_file;	  /* of clients' certificates; NULL: not asked for */
	bool client_required;		  /* no TLS without one */
	const char *client_roles;	  /* client_roles.h; NULL: none */
	bool auth_required;		  /* else everybody may do everything */
	unsigned auth_failures_max;	  /* throttle.h */
	const char *origins;		  /* origin.h; NULL: none */
	struct audit_conf audit;
	uint64_t body_max;
	uint64_t import_max;	  /* bytes of one import's body; 0: no limit */
	unsigned imports_max;	  /* imports at a time */
	unsigned max_connections; /* of each listener; 0: no limit */
	bool verify;		  /* tls_certificate_verify: model/verification.h */
	const char *control_plane_id;
	const struct conf_key *keys; /* shown by `GET /`, secrets masked */
	size_t key_count;
	const void *values;
	struct metrics *metrics;
};

/* What handlers stand on; all borrowed, all of the loop's thread. */
struct admin_context {
	struct loop *loop;
	struct store *store;
	struct fleet *fleet;
	struct acme *acme; /* NULL: no ACME authority is configured */
	struct admin_conf conf;
	struct access access;
	char hostname[256];
	uint64_t requests_total;
	unsigned waiting; /* requests that wait for an ACME order */
	struct import_gate *imports;
	bool draining;
	json_t *endpoints, *openapi; /* made when first asked for; NULL before */
};

/* Listens. Errors name the address. */
int admin_start(struct admin **out, struct loop *l, struct store *s, struct fleet *f,
		struct acme *a, const struct admin_conf *c, struct err *e) must_check;
/* Reads the certificates of its listeners again; an error is logged and changes nothing. */
void admin_reload(struct admin *a);
/* Readiness turns false, running requests finish, new connections are refused. */
void admin_drain(struct admin *a);
void admin_close(struct admin *a, void (*closed)(void *arg), void *arg);

#endif
