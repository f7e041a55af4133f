/* Why a certificate is revoked (RFC 5280 section 5.3.1), which of the reasons its holder may give,
 * and what becomes of the names then. Pure. Thread: any. */
#ifndef CARDEA_ACME_REVOCATION_REASON_H
#define CARDEA_ACME_REVOCATION_REASON_H

#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/acme/lane.h"

struct revocation_reason {
	int code;
	const char *name;
	const char *refused; /* why a holder cannot give it; NULL: it can */
	bool replace;	     /* the names get another certificate, unless the operator says no */
	enum lane lane;	     /* of its order */
};

/* Its name (in any case) or its code. ERR_INVALID: there is no such reason, or it is not for
 * holders; says which ones are. */
int revocation_reason_parse(struct str text, const struct revocation_reason **out,
			    struct err *e) must_check;

#endif
