/* The gates that URLs go through: those of a CA are https only, and nothing private unless allowed.
 * Pure. Thread: any. */
#ifndef CARDEA_ACME_URL_H
#define CARDEA_ACME_URL_H

#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { ACME_URL_SIZE = 1024 }; /* with the NUL; longer ones are refused */

/* Refuses (ERR_DENIED, ERR_LIMIT) anything but "https://host[:443]/...": other schemes, userinfo,
 * fragments, control and non-ASCII bytes. Without allow_private also other ports, "localhost" and
 * literal addresses that addr_is_public refuses. Names are judged again when they are resolved,
 * by the same function. */
int url_gate(struct str url, bool allow_private, struct err *e) must_check;
/* The gate for a URL that the operator has set himself: http too, and any port and address. */
int url_gate_own(struct str url, struct err *e) must_check;
/* The gate for a URL out of a certificate, whose answer is signed: http too, and port 80; otherwise
 * as url_gate, with ocsp_allow_private. */
int url_gate_responder(struct str url, bool allow_private, struct err *e) must_check;

#endif
