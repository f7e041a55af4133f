/* What the statements that order the successor of a certificate have in common: d is the order of
 * the certificate that is followed, k what is kept of its names. A name whose SNI was deleted, or
 * moved to another certificate, is not ours any more; the others are ordered without it. */
#ifndef CARDEA_ACME_RENEWAL_SQL_H
#define CARDEA_ACME_RENEWAL_SQL_H

/* A common table expression; from: where the orders d are. */
#define RENEWAL_KEPT(from)                                                                         \
	"kept AS (SELECT d.id, array_agg(n ORDER BY n COLLATE \"C\") AS names FROM " from " d, "   \
	"unnest(string_to_array(concat_ws(' ', d.host, nullif(d.more, '')), ' ')) n WHERE EXISTS " \
	"(SELECT 1 FROM snis s WHERE lower(s.name) = n AND s.certificate = d.certificate_id) "     \
	"GROUP BY d.id) "
/* more: further columns, ", a, b", and values their values. home: the first authority. */
#define RENEWAL_INSERT(more, home, values, from)                                                   \
	"INSERT INTO acme_orders AS h (id, host, more, directory, key_type, key_type_alt, "        \
	"renewal, renews, replaces, profile, profile_required, preferred_chain, "                  \
	"wanted_not_after, ca_before" more ") SELECT gen_random_uuid(), k.names[1], "              \
	"array_to_string(k.names[2:], ' '), " home ", d.key_type, d.key_type_alt, true, d.id, "    \
	"d.ari_id, d.profile, d.profile_required, d.preferred_chain, now() + "                     \
	"(d.wanted_not_after - d.created_at), d.ca" values " FROM " from                           \
	" d JOIN kept k USING (id) ON CONFLICT (directory, host, md5(more)) WHERE state NOT IN "   \
	"('valid', 'failed') "
/* It goes before what is due later, when an order for the names is at work already. */
#define RENEWAL_HURRY                                                                              \
	"DO UPDATE SET lane = least(h.lane, excluded.lane), next_attempt = "                       \
	"least(h.next_attempt, now()), events = acme_events(h.events, excluded.events) "

#endif
