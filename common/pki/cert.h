/* X.509 certificates: bundles from PEM, names, dates, checks. Thread: any. */
#ifndef CARDEA_PKI_CERT_H
#define CARDEA_PKI_CERT_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/pki/pem.h"

enum { CERT_CHAIN_MAX = 10, CERT_NAMES_MAX = 1000, CERT_HEX_SIZE = 65 };

/* Facts about a leaf that callers keep. */
struct cert_info {
	int64_t not_before; /* seconds since 1970 */
	int64_t not_after;
	char fingerprint[CERT_HEX_SIZE]; /* SHA-256 of the DER, lower-case hex */
	char serial[64];		 /* hex */
	char issuer[128];		 /* one line, cut */
};

/* The certificate's DER parsed; trailing bytes are an error. */
int cert_from_der(X509 **out, struct str der, struct err *e) must_check;
/* First certificate of PEM text, Kong's wording "invalid certificate: ...". */
int cert_leaf_from_pem(X509 **out, struct str pem, struct err *e) must_check;
/* Whether cert_leaf_from_pem would succeed. Fast. */
int cert_check_pem(struct str pem, struct err *e) must_check;
/* Seconds since 1970. -1: NULL, or a time that cannot be read. */
int cert_time(const ASN1_TIME *t, int64_t *out) must_check;
void cert_info(X509 *cert, struct cert_info *out);
/* The same with the bytes that cert was parsed from. */
void cert_info_der(X509 *cert, struct str der, struct cert_info *out);
/* Whether cert's public key is key's. */
bool cert_matches_key(X509 *cert, EVP_PKEY *key);
/* Leaf public key algorithm: "RSA", "EC". */
const char *cert_key_algorithm(X509 *cert);
/* SAN dNSNames, in order, lower case; on_name returns -1 to stop. Names with NUL or non-ASCII bytes
 * are ERR_INVALID. */
int cert_dns_names(X509 *cert, int (*on_name)(struct str name, void *arg, struct err *e), void *arg,
		   struct err *e) must_check;
/* Whether a SAN covers the host (one-label wildcard, RFC 9525). CN is never used. */
bool cert_covers(X509 *cert, struct str host);
/* The same for an IP address in text form: a SAN iPAddress is it. */
bool cert_covers_address(X509 *cert, const char *address);

/* A whole pair checked as TLS-20 to TLS-22 ask: leaf first, each next certificate issued the one
 * before, key matches, key strong enough, unencrypted. Lax about what Kong accepts: expiry, names,
 * self-signed, missing chain. Errors name the block. */
struct cert_pair {
	struct buf leaf;		  /* DER */
	struct buf chain[CERT_CHAIN_MAX]; /* DER */
	size_t chain_count;
	struct buf key; /* PKCS#8 DER, secret */
	struct cert_info info;
};
int cert_pair_from_pem(struct cert_pair *out, struct str cert_pem, struct str key_pem,
		       struct err *e) must_check;
/* The same without any check but the base64: what was checked when it was stored. Fast. info is
 * left empty. */
int cert_pair_unpack(struct cert_pair *out, struct str cert_pem, struct str key_pem,
		     struct err *e) must_check;
/* Checks DER as a data plane gets it: parses, key matches leaf. */
int cert_pair_check_der(struct str leaf, const struct str *chain, size_t chain_count,
			struct str key, struct err *e) must_check;
void cert_pair_free(struct cert_pair *p);

/* Cluster and test certificates: makes a self-signed CA or a leaf signed by one. names: DNS names
 * or IPs, may be none. */
struct cert_make {
	const char *common_name;
	const char *const *names; /* NULL-terminated, or NULL */
	bool ca;
	bool client, server; /* extended key usage */
	int64_t not_before, not_after;
	/* 32 bytes: SHA-256 of an ACME key authorization (RFC 8737 section 3); NULL: none. */
	const unsigned char *acme_identifier;
};
int cert_make(X509 **out, const struct cert_make *m, EVP_PKEY *key, X509 *issuer,
	      EVP_PKEY *issuer_key, struct err *e) must_check;
int cert_to_pem(struct buf *out, X509 *cert, struct err *e) must_check;
int cert_to_der(struct buf *out, X509 *cert, struct err *e) must_check;

#endif
