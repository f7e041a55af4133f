/* Orders as the admin API shows them. Thread: the loop. */
#ifndef CARDEA_ACME_SHOW_H
#define CARDEA_ACME_SHOW_H

#include <jansson.h>

#include "control-plane/fleet/fleet.h"

/* The columns of a row for show_orders; the table's alias is o. Times are whole seconds. */
#define SHOW_COLUMNS                                                                               \
	"o.id, o.host, o.more, o.authorizations, o.directory, o.key_type, o.state, o.renewal, "    \
	"o.attempts, o.lease_owner, o.ca, o.lane, o.failures, o.unpause_url, o.dropped, "          \
	"o.key_type_alt, o.pair_of, o.profile, o.preferred_chain, o.ari_explanation, "             \
	"extract(epoch FROM o.revoked_at)::bigint AS revoked_at, o.revocation_reason, (SELECT "    \
	"jsonb_build_object('id', p.id, 'key_type', p.key_type, 'state', p.state, 'revision', "    \
	"coalesce(p.revision, (SELECT v.revision FROM changes v WHERE p.state = 'valid' AND "      \
	"v.kind = 'certificates' AND v.id = p.certificate_id)), 'last_problem', p.problem) "       \
	"FROM acme_orders p WHERE p.pair_of = o.id ORDER BY p.created_at DESC LIMIT 1) AS "        \
	"alternative, o.problem, o.certificate_id, coalesce(o.revision, (SELECT v.revision "       \
	"FROM changes v WHERE o.state = 'valid' AND v.kind = 'certificates' AND v.id = "           \
	"o.certificate_id)) AS revision, extract(epoch FROM o.next_attempt)::bigint AS "           \
	"next_attempt, extract(epoch FROM o.not_after)::bigint AS not_after, extract(epoch "       \
	"FROM o.renew_at)::bigint AS renew_at, extract(epoch FROM o.created_at)::bigint AS "       \
	"created_at, extract(epoch FROM o.updated_at)::bigint AS updated_at"

/* A new array of shown orders: {"id","host","hosts","authorizations":[{"host","challenge",
 * "status"}],"directory","key_type","key_type_alt","pair_of",
 * "alternative":{"id","key_type","state","revision","last_problem"}|null (the order of the
 * second
 * certificate),"profile","preferred_chain","renewal_explanation","state","renewal","attempts",
 * "next_attempt","last_problem","authority","lane","failures","unpause_url","dropped",
 * "certificate":{"id"}|null,"revision","not_after","renew_at","revoked_at","revocation_reason","created_at","updated_at",
 * "lease_owner"}. With fleet: also "missing_nodes", the nodes that the barrier of a
 * publishing order waits for (rows have "challenge_revision" then). NULL when out of
 * memory. */
json_t *show_orders(const json_t *rows, struct fleet *fleet);

#endif
