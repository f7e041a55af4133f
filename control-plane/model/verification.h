/* tls_certificate_verify (kong-acme-hybrid.md section 6): where it is on, nothing may switch the
 * verification of certificates off. Pure. Thread: any. */
#ifndef CARDEA_MODEL_VERIFICATION_H
#define CARDEA_MODEL_VERIFICATION_H

#include "control-plane/model/entity.h"

/* A violation for each field of a row (NULL is fine) that does. */
void verification_check(const struct entity *t, const json_t *row, struct violations *v);

#endif
