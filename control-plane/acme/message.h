/* The bodies of RFC 8555: what we send, and what a CA may answer, read with suspicion. Pure.
 * Thread: any. */
#ifndef CARDEA_ACME_MESSAGE_H
#define CARDEA_ACME_MESSAGE_H

#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/acme/problem.h"
#include "control-plane/acme/url.h"

enum { ACME_TOKEN_SIZE = 129 };	     /* RFC 8555 section 8.3: base64url; with the NUL */
enum { ACME_NONCE_SIZE = 257 };	     /* with the NUL; longer ones are dropped */
enum { ACME_DOCUMENT_MAX = 262144 }; /* bytes of any answer */

/* --- what we send; each appends --- */

/* email NULL: no contact. */
int message_new_account(struct buf *out, const char *email, struct err *e) must_check;
int message_new_order(struct buf *out, const char *host, struct err *e) must_check;
int message_finalize(struct buf *out, struct str csr_der, struct err *e) must_check;

/* --- what we read; ERR_INVALID says which member is wrong, and *out is then untouched --- */

struct acme_directory {
	char new_nonce[ACME_URL_SIZE];
	char new_account[ACME_URL_SIZE];
	char new_order[ACME_URL_SIZE];
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
	char authorization[ACME_URL_SIZE]; /* the one of our one identifier */
	char finalize[ACME_URL_SIZE];
	char certificate[ACME_URL_SIZE]; /* set when status is valid */
	struct problem error;		 /* of an invalid order */
};
int message_read_order(struct acme_order_doc *out, struct str body, struct err *e) must_check;

struct acme_authorization_doc {
	enum acme_status status;
	char host[256]; /* identifier, lower case */
	bool http01;	/* an http-01 challenge is offered: */
	enum acme_status challenge_status;
	char challenge_url[ACME_URL_SIZE];
	char token[ACME_TOKEN_SIZE];
	struct problem error; /* of the failed challenge */
};
int message_read_authorization(struct acme_authorization_doc *out, struct str body,
			       struct err *e) must_check;

/* Whether a Replay-Nonce is one (section 6.5.1: base64url). */
bool message_nonce_ok(struct str nonce);

#endif
