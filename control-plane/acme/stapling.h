/* OCSP responses that are fetched for the certificates that data planes serve, whoever wrote them.
 *
 * A leaf that is new, or whose response is due, is a row of certificate_staples with next_fetch in
 * the past; an index finds it, so that what this costs follows what is due and not how many
 * certificates there are. A response that holds is stored with its certificate, as an operator
 * would do it, and so reaches every data plane with a revision. It stays until another one comes:
 * data planes do not staple it after its end. When the responder says "revoked" the stored one is
 * taken away, and that is told: log, metric, notice; a certificate that an authority issued for us
 * is replaced. owner: the ACME engine, thread: the loop; parsing and checking: the pool.
 */
#ifndef CARDEA_ACME_STAPLING_H
#define CARDEA_ACME_STAPLING_H

#include "common/core/err.h"

struct acme;

/* Nothing with ocsp_fetch = off. */
int stapling_start(struct acme *a, struct err *e) must_check;
/* Asks for those that are due; once a second. */
void stapling_tick(struct acme *a);
/* Forgets what is under way, which is due again later; parts: how many acme_part_closed will come.
 */
unsigned stapling_parts(const struct acme *a);
void stapling_close(struct acme *a);
/* When nothing is outstanding any more. */
void stapling_free(struct acme *a);

#endif
