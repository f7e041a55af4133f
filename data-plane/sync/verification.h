/* tls_certificate_verify (kong-acme-hybrid.md section 6): a data plane that runs with it refuses
 * revisions in which a service, an upstream's checks or a plugin switch verification off. Pure. */
#ifndef CARDEA_SYNC_VERIFICATION_H
#define CARDEA_SYNC_VERIFICATION_H

#include "common/core/err.h"
#include "data-plane/sync/change.h"

/* ERR_INVALID names the field. */
int verification_check(const struct change *c, struct err *e) must_check;

#endif
