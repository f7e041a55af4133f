/* The bodies of RFC 8555: what we send, and what a CA may answer, read with suspicion. Pure.
 * Thread: any. */
#ifndef CARDEA_ACME_MESSAGE_H
#define CARDEA_ACME_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/acme/problem.h"
#include "control-plane/acme/url.h"

enum { ACME_TOKEN_SIZE = 129 };	     /* RFC 8555 section 8.3: base64url; with the NUL */
enum { ACME_NONCE_SIZE = 257 };	     /* with the NUL; longer ones are dropped */
enum { ACME_DOCUMENT_MAX = 262144 }; /* bytes of any answer */
enum { ACME_AUTHORIZATIONS_MAX = 100 };

/* --- what we send; each appends --- */

/* email NULL or "": no contact. binding: JWS of an external account binding, or NULL. */
int message_new_account(struct buf *out, const char *email, const char *binding,
			struct err *e) must_check;
/* What is asked for; texts are NULL where they are not sent. */
struct message_order {
	struct str names;     /* DNS names and IP addresses (RFC 8738), a space between */
	const char *profile;  /* draft-ietf-acme-profiles */
	const char *replaces; /* RFC 9773 section 5 */
	int64_t not_after;    /* seconds since 1970; 0: not sent */
};
int message_new_order(struct buf *out, const struct message_order *m, struct err *e) must_check;
/* Section 7.6. */
int message_revoke(struct buf *out, struct str certificate_der, int reason,
		   struct err *e) must_check;
int message_finalize(struct buf *out, struct str csr_der, struct err *e) must_check;

/* --- what we read; ERR_INVALID says which member is wrong, and *out is then untouched --- */

struct acme_directory {
	char new_nonce[ACME_URL_SIZE];
	char new_account[ACME_URL_SIZE];
	char new_order[ACME_URL_SIZE];
	char key_change[ACME_URL_SIZE];	  /* "": not offered */
	char revoke[ACME_URL_SIZE];	  /* revokeCert; "": not offered */
	char terms[ACME_URL_SIZE];	  /* of service; "": none */
	char renewal_info[ACME_URL_SIZE]; /* RFC 9773; "": not offered */
	char profiles[512];	  /* their names (draft-ietf-acme-profiles), a space between */
	char caa_identities[512]; /* what CAA records name it by, a space between; "": not told */
	bool external_account_required;
};
/* Section 7.1.1. */
int message_read_directory(struct acme_directory *out, struct str body, struct err *e) must_check;

/* Statuses of orders, authorizations and challenges (section 7.1.6). */
enum acme_status {
	ACME_PENDING,
	ACME_READY,
	ACME_PROCESSING,
	ACME_VALID,
	ACME_INVALID,
	ACME_DEACTIVATED,
	ACME_EXPIRED,
	ACME_REVOKED,
};
const char *acme_status_name(enum acme_status s);

struct acme_order_doc {
	enum acme_status status;
	json_t *authorizations; /* 1 to ACME_AUTHORIZATIONS_MAX URLs; for json_decref */
	char finalize[ACME_URL_SIZE];
	char certificate[ACME_URL_SIZE]; /* set when status is valid */
	struct problem error;		 /* of an invalid order */
};
int message_read_order(struct acme_order_doc *out, struct str body, struct err *e) must_check;

enum challenge_type {
	CHALLENGE_HTTP_01,
	CHALLENGE_TLS_ALPN_01,
	CHALLENGE_DNS_01,
	CHALLENGE_TYPES,
};
/* "http-01", "tls-alpn-01", "dns-01"; -1 for any other text. */
int challenge_type_parse(struct str text, enum challenge_type *out) must_check;
const char *challenge_type_name(enum challenge_type t);
/* "http-01, tls-alpn-01": each at most once. ERR_INVALID says what is wrong. */
int challenge_types_parse(struct str list, enum challenge_type out[CHALLENGE_TYPES], size_t *n,
			  struct err *e) must_check;
/* The token under which the fleet's state has a tls-alpn-01 challenge: a ClientHello has none. */
#define CHALLENGE_ALPN_TOKEN "tls-alpn-01"

struct acme_challenge_doc {
	bool offered; /* else the others say nothing */
	enum acme_status status;
	char url[ACME_URL_SIZE];
	char token[ACME_TOKEN_SIZE];
};
struct acme_authorization_doc {
	enum acme_status status;
	char name[256]; /* identifier, lower case; of a wildcard with "*." before it */
	struct acme_challenge_doc challenges[CHALLENGE_TYPES];
	struct problem error; /* of the failed challenge */
};
int message_read_authorization(struct acme_authorization_doc *out, struct str body,
			       struct err *e) must_check;
/* Whether the answer to a challenge that was accepted is a challenge: ERR_INVALID for the page of
 * something between, which says nothing about what the CA knows. */
int message_check_challenge(struct str body, struct err *e) must_check;

/* The URLs of rel="alternate" in Link fields, which are joined by ", " (RFC 8555 section 7.4.2);
 * returns how many, at most max. */
size_t message_alternates(struct str links, char (*out)[ACME_URL_SIZE], size_t max);
/* Whether a Replay-Nonce is one (section 6.5.1: base64url). */
bool message_nonce_ok(struct str nonce);

#endif
