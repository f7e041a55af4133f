/* From a ClientHello to a certificate (reliability-goals TLS-05 to TLS-07): runs in OpenSSL's
 * ClientHello callback, before a session ticket is looked at.
 *
 *     no server_name ─────────────▶ certificate of the address that the client went to, or else the
 *                                   default certificate, or alert unrecognized_name
 *     malformed, two names ───────▶ alert decode_error
 *     not a host name, unknown ───▶ default certificate, or alert unrecognized_name
 *     known ──────────────────────▶ its leafs, keys and chains are put on the SSL
 *
 * The rules of the name (tls/policy.h) are put on it, too.
 * owner and thread: the worker.
 */
#ifndef CARDEA_TLS_SELECT_H
#define CARDEA_TLS_SELECT_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tls/parsed.h"

enum select_result {
	SELECT_FOUND,
	SELECT_DEFAULT,
	SELECT_UNKNOWN,	  /* alert unrecognized_name */
	SELECT_MALFORMED, /* alert decode_error */
	SELECT_FAILED,	  /* alert internal_error; logged */
	SELECT_RESULTS,
};

/* The name in a server_name extension's content (RFC 6066 section 3). SELECT_FOUND: *name points
 * into it. SELECT_MALFORMED otherwise. Pure. */
enum select_result select_server_name(struct str extension, struct str *name);

/* Sets up ssl for the ClientHello that it is reading, all but the certificate, which a resumed
 * connection does not need: *out is it, until the turn ends; NULL: the context's own. to: where the
 * client went; NULL: not known. has_default: the context has one. *alert is set for results from
 * SELECT_UNKNOWN on. */
enum select_result select_certificate(SSL *ssl, const struct tables *t, const struct addr *to,
				      bool has_default, const struct cert **out, int *alert);
/* Gives ssl the certificate, with its key and chain. -1: it cannot be served; logged. */
int select_use(SSL *ssl, const struct cert *cert, struct parsed_cache *parsed) must_check;

#endif
