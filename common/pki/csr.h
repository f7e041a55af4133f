/* Certificate signing requests (RFC 2986) for ACME: SANs only, no common name. Thread: any. */
#ifndef CARDEA_PKI_CSR_H
#define CARDEA_PKI_CSR_H

#include <openssl/evp.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Appends DER. names: n DNS names (A-labels) or IP addresses. */
int csr_make(struct buf *out, EVP_PKEY *key, const struct str *names, size_t n,
	     struct err *e) must_check;

#endif
