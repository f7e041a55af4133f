/* Orders as the admin API shows them. Thread: the loop. */
#ifndef CARDEA_ACME_SHOW_H
#define CARDEA_ACME_SHOW_H

#include <jansson.h>

#include "control-plane/fleet/fleet.h"

/* The columns of a row for show_orders; the table's alias is o. Times are whole seconds. */
#define SHOW_COLUMNS                                                                               \
	"o.id, o.host, o.directory, o.key_type, o.state, o.renewal, o.attempts, o.lease_owner, "   \
	"o.problem, o.certificate_id, coalesce(o.revision, (SELECT v.revision FROM changes v "     \
	"WHERE o.state = 'valid' AND v.kind = 'certificates' AND v.id = o.certificate_id)) AS "    \
	"revision, extract(epoch FROM o.next_attempt)::bigint AS next_attempt, "                   \
	"extract(epoch FROM o.not_after)::bigint AS not_after, "                                   \
	"extract(epoch FROM o.renew_at)::bigint AS renew_at, "                                     \
	"extract(epoch FROM o.created_at)::bigint AS created_at, "                                 \
	"extract(epoch FROM o.updated_at)::bigint AS updated_at"

/* A new array of shown orders: {"id","host","directory","key_type","state","renewal","attempts",
 * "next_attempt","last_problem","certificate":{"id"}|null,"revision","not_after","renew_at",
 * "created_at","updated_at","lease_owner"}. With fleet: also "missing_nodes", the nodes that the
 * barrier of a publishing order waits for (rows have "challenge_revision" then). NULL when out of
 * memory. */
json_t *show_orders(const json_t *rows, struct fleet *fleet);

#endif
