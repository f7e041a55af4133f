/* A client's certificate out of header fields that a proxy in front of Cardea filled in. Pure.
 * Thread: any. */
#ifndef CARDEA_PLUGINS_CERT_HEADER_H
#define CARDEA_PLUGINS_CERT_HEADER_H

#include <openssl/x509.h>

#include "common/core/err.h"
#include "common/http/msg.h"

enum cert_header_format {
	CERT_HEADER_BASE64,  /* base64 of the DER, or PEM without its BEGIN and END lines */
	CERT_HEADER_URL,     /* PEM, percent-encoded; more than one: the client's own first. A plus
				sign stands for itself: it is a digit of base64 */
	CERT_HEADER_RFC9440, /* a byte sequence, ":base64:"; the rest in Client-Cert-Chain */
};

/* "base64_encoded", "url_encoded", "rfc9440"; -1 for any other text. */
int cert_header_format_parse(struct str text, enum cert_header_format *out) must_check;

/* The certificate in the field called name (lower case), and what was sent along. *leaf is NULL
 * when there is no such field or it is empty. *chain may be NULL on success; sk_X509_pop_free.
 * ERR_DENIED says what is wrong: the field is there twice, is no certificate, holds more of them or
 * more bytes than CLIENT_CERT_CHAIN_MAX and CLIENT_CERT_CHAIN_BYTES. */
int cert_header_read(const struct http_fields *fields, struct str name,
		     enum cert_header_format format, X509 **leaf, STACK_OF(X509) * *chain,
		     struct err *e) must_check;

#endif
