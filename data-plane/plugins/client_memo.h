/* What was found out about the certificate of a connection, so that each further request of it need
 * not verify signatures again. Kept at the certificate and gone with it: a connection has its own.
 * Thread: the worker whose connection it is. */
#ifndef CARDEA_PLUGINS_CLIENT_MEMO_H
#define CARDEA_PLUGINS_CLIENT_MEMO_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

/* Under which circumstances: the tables as they were, and the list of authorities in them. */
struct client_memo_key {
	uint64_t generation;
	const void *authorities;
};

/* Whether leaf is known to be verified: the circumstances are the same, and it and the chain are in
 * date. On true *chain (chain may be NULL) is the chain, leaf first, for sk_X509_pop_free. */
bool client_memo_get(X509 *leaf, const struct client_memo_key *key, STACK_OF(X509) * *chain);
/* Keeps what is behind the leaf in chain, in place of what was kept; without memory nothing. */
void client_memo_put(X509 *leaf, const struct client_memo_key *key, STACK_OF(X509) * chain);

#endif
