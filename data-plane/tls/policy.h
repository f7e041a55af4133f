/* From a name to the rules of its handshakes (reliability-goals TLS-07, TLS-08): one function,
 * which the handshake asks for the SNI and the proxy for the host of each request.
 *
 *     name ─▶ certificate, oldest version of TLS, client certificate asked for or not
 *
 * What a connection was made under is kept in its session id context: digest of the rules, digest
 * of the name. So a ticket is good for the name and the rules that it was made under, and the proxy
 * compares the first part. owner and thread: the worker. */
#ifndef CARDEA_TLS_POLICY_H
#define CARDEA_TLS_POLICY_H

#include <openssl/ssl.h>

#include "common/core/err.h"
#include "data-plane/tables/tables.h"

struct tls_policy {
	const struct cert *cert;	   /* NULL: none; what follows is of it and of the name */
	uint16_t min_version;		   /* 0: that of the listener */
	const struct handshake_rule *rule; /* NULL: no client certificate is asked for */
	unsigned char digest[HANDSHAKE_DIGEST_SIZE]; /* of the rules; zero: there are none */
	char name[CERTS_NAME_MAX + 1]; /* as it was looked up; "": none, or not a host name */
	size_t name_len;
};

/* For a name as a client spelled it, without port. Lives until rcu_leave. */
void tls_policy_of(const struct tables *t, uint64_t generation, struct str name,
		   struct tls_policy *out);
/* For a client that named none and went to this address. Its certificate, if there is one, and the
 * rules of no name: a host that is an address has those too. */
void tls_policy_of_address(const struct tables *t, uint64_t generation, const struct addr *a,
			   struct tls_policy *out);
/* In the ClientHello callback: puts everything but the certificate on ssl. */
int tls_policy_apply(SSL *ssl, const struct tls_policy *p, struct err *e) must_check;
/* Whether a request for host may come over this connection: its rules are those that the connection
 * was made under (421 if not). ssl NULL: not TLS, where no rule holds. Pure but for the look-up. */
bool tls_policy_allows(const struct tables *t, uint64_t generation, const SSL *ssl,
		       struct str host);

#endif
