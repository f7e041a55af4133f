/* Questions about certificates to OCSP responders (RFC 6960): whom to ask, what to ask, and whether
 * an answer is signed by somebody who may. Thread: any. */
#ifndef CARDEA_PKI_OCSP_H
#define CARDEA_PKI_OCSP_H

#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Of a name in an extension: an http or https address without bytes that end it early; STR_NONE:
 * it is none. */
struct str ocsp_http_uri(const GENERAL_NAME *name);
/* The first http or https address of a responder that cert names; NULL: none. For free(). -1: out
 * of memory. */
int ocsp_uri(X509 *cert, char **out, struct err *e) must_check;
/* Whether cert demands that a response comes with it: status_request, or status_request_v2, in its
 * TLS feature extension (RFC 7633). */
bool ocsp_demanded(X509 *cert);
/* Appends the DER of a request about cert, without a nonce, so that responders can answer from
 * their caches. */
int ocsp_request(struct buf *out, X509 *cert, X509 *issuer, struct err *e) must_check;
/* Whether the signer is the issuer, or one whom the issuer charged with it, as things are at `at`
 * (seconds since 1970). OpenSSL's queue of errors says why not. */
bool ocsp_is_signed(OCSP_BASICRESP *basic, X509 *issuer, int64_t at);

#endif
