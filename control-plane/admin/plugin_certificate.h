/* The pair of an ssl plugin. It stands in no plugin but in the certificate that has the plugin's id
 * (sealed, served, listed and replaced as any other); its SNIs are the hosts of the routes that the
 * plugin is for, and `*` for a plugin that is for all. config.cert and config.key are filled in
 * from it wherever a plugin is read. Thread: the loop.
 *
 * A certificate that somebody took away takes the pair away from the plugin and nothing else; a
 * plugin that goes takes its certificate along (migration 0005).
 */
#ifndef CARDEA_ADMIN_PLUGIN_CERTIFICATE_H
#define CARDEA_ADMIN_PLUGIN_CERTIFICATE_H

#include "control-plane/admin/request.h"

/* Whether a row of plugins may have one. */
bool plugin_certificate_for(const json_t *plugin) must_check;
/* Adds to names the SNIs that a route's hosts ask for: without ports and addresses, each once. */
int plugin_certificate_names(json_t *names, const json_t *hosts) must_check;

/* Fills in r->old, and reads its certificate into r->pair; then runs next. */
void plugin_certificate_load(struct admin_request *r, admin_handler next);
/* Fills in each of r->rows, then runs next. */
void plugin_certificate_fill(struct admin_request *r, admin_handler next);

/* Makes what the write of r->row needs: r->new_pair, and r->scope when the older surface asks for
 * HTTPS only. Then runs next; answers when a name belongs to another certificate. */
void plugin_certificate_check(struct admin_request *r, admin_handler next);
/* Adds to the transaction that writes r->row the certificate, its SNIs and, on the older surface,
 * the route's protocols. */
int plugin_certificate_write(struct admin_request *r, struct txn *t, struct err *e) must_check;
/* Adds to it the protocols that `route` has when only HTTPS is served, or not only; without effect
 * when it has them. */
int plugin_certificate_protocols(const json_t *route, bool only_https, struct txn *t,
				 struct err *e) must_check;

#endif
