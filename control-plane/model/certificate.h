/* A pair of chain and key, for every entity that holds one (certificates, the ssl plugin). Thread:
 * any. */
#ifndef CARDEA_MODEL_CERTIFICATE_H
#define CARDEA_MODEL_CERTIFICATE_H

#include "control-plane/model/field.h"

/* Field checks: PEM text that begins with a certificate; one unencrypted private key in PEM. */
int certificate_check_cert(const json_t *value, struct err *e) must_check;
int certificate_check_key(const json_t *value, struct err *e) must_check;

/* Whether the key is the leaf's (else `mismatch`, a text of the entity) and, when there is no
 * violation yet, whether a data plane would take the pair (else a text at cert_path). Both passed
 * their field checks. */
void certificate_check_pair(struct str cert, struct str key, const char *cert_path,
			    const char *mismatch, struct violations *v);

#endif
