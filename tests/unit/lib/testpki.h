/* Clients' certificates of every kind for tests, good and bad, with revocation lists and answers of
 * responders. Every function fails the test when OpenSSL refuses. */
#ifndef CARDEA_TESTS_TESTPKI_H
#define CARDEA_TESTS_TESTPKI_H

#include "common/core/str.h"
#include "tests/unit/lib/testcert.h"

/* What a certificate is like; zeros give a good client's. */
struct testpki_options {
	const char *name; /* subject CN; NULL: "client"; "": no CN */
	bool ca;
	const char *usage; /* extended key usage; NULL: clientAuth for leaves, none for authorities;
			      "": none */
	const char *san;   /* "DNS:a.example,email:b@example"; NULL: none */
	const char *ocsp, *crl; /* URIs; NULL: none */
	const char *feature;	/* TLS features, "status_request,..."; NULL: none */
	long from_seconds; /* notBefore and notAfter, from now; both 0: an hour ago, in 90 days */
	long to_seconds;
	bool sha1;	/* signature */
	size_t padding; /* bytes of a comment, to make it large */
};

/* issuer NULL: self-signed. For testca_deinit. */
void testpki_make(struct testca *out, const struct testca *issuer, const struct testpki_options *o);
/* A list that names `revoked` (NULL: nobody), DER appended to out. Dates from now. */
void testpki_crl(struct buf *out, const struct testca *issuer, X509 *revoked, long from_seconds,
		 long to_seconds);
enum testpki_answer { TESTPKI_GOOD, TESTPKI_REVOKED, TESTPKI_UNKNOWN };
/* A responder's answer about cert, signed by signer, DER appended to out. */
void testpki_ocsp(struct buf *out, X509 *cert, const struct testca *issuer,
		  const struct testca *signer, enum testpki_answer answer, long from_seconds,
		  long to_seconds);

#endif
