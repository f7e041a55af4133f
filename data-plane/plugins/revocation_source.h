/* What says whether a certificate was revoked: lists and answers of responders (common/pki/ocsp.h
 * has whom to ask, and what), and what they mean. Pure. Thread: any. */
#ifndef CARDEA_PLUGINS_REVOCATION_SOURCE_H
#define CARDEA_PLUGINS_REVOCATION_SOURCE_H

#include <openssl/x509.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum revocation_status {
	REVOCATION_UNKNOWN, /* nobody says, or nothing that can be relied on */
	REVOCATION_GOOD,
	REVOCATION_REVOKED,
};

/* The first http or https address of a list that cert names; NULL: none. For free(). -1: out of
 * memory. */
int revocation_crl_uri(X509 *cert, char **out, struct err *e) must_check;

/* What a response says about cert: its signature is the issuer's or of one whom the issuer charged
 * with it, and it is in force now. *until: seconds since 1970 when it is out of date. With UNKNOWN
 * e (may be NULL) says why. */
enum revocation_status revocation_ocsp_read(struct str der, X509 *cert, X509 *issuer,
					    int64_t *until, struct err *e);

/* A list out of DER or PEM. */
int revocation_crl_parse(X509_CRL **out, struct str bytes, struct err *e) must_check;
/* Seconds since 1970 when a list is out of date; INT64_MAX: it does not say. */
int64_t revocation_crl_until(const X509_CRL *crl);
/* What a list says about cert. With UNKNOWN e (may be NULL) says why: another's list, a wrong
 * signature, out of date, not for such certificates. */
enum revocation_status revocation_crl_read(X509_CRL *crl, X509 *cert, X509 *issuer, struct err *e);

#endif
