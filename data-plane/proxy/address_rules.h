/* Which addresses a request may be sent to (reliability-goals TR-11), judged when it is picked, so
 * that a name which resolves elsewhere later gains nothing.
 *
 *     unspecified, multicast, broadcast, reserved     never
 *     link-local, cloud metadata, own status port     only when `upstream_allow_private` names
 *                                                     them: a network as long as theirs
 *     loopback, private networks                      as `upstream_allow_private` says
 *     anything else                                   yes
 *
 * The default of `upstream_allow_private` is "loopback, private": upstreams of a gateway live on
 * the machine and in the network behind it, and a gateway that answers 503 for 127.0.0.1 is taken
 * for broken. What turns a target into a way in (metadata services, link-local) stays shut; who has
 * no upstreams in private networks sets "none". Immutable. Thread: any. */
#ifndef CARDEA_PROXY_ADDRESS_RULES_H
#define CARDEA_PROXY_ADDRESS_RULES_H

#include "common/net/addr.h"

struct address_rules;

/* allow: "loopback", "private", "link-local", "none", and networks or addresses, separated by
 * commas. own: listeners that no request may be sent to; may be NULL. ERR_INVALID names the entry.
 */
int address_rules_create(struct address_rules **out, struct str allow,
			 const struct listen_list *own, struct err *e) must_check;
/* NULL is fine. */
void address_rules_free(struct address_rules *r);
/* With its port. NULL rules: the default's. */
bool address_rules_allow(const struct address_rules *r, const struct addr *a);

#endif
