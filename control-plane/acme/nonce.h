/* The pool of anti-replay nonces of one CA: last in, first out, because CAs forget old ones.
 * Thread: the owner. */
#ifndef CARDEA_ACME_NONCE_H
#define CARDEA_ACME_NONCE_H

#include <stdbool.h>
#include <stdint.h>

#include "control-plane/acme/message.h"

enum { NONCE_POOL_MAX = 256 };
/* Let's Encrypt forgets nonces by volume, at its rate after about a minute. */
enum { NONCE_AGE_MAX_S = 45 };

struct nonce {
	char text[ACME_NONCE_SIZE];
	uint64_t at_ns;
};

struct nonce_pool {
	struct nonce items[NONCE_POOL_MAX]; /* private: a ring, newest at newest */
	size_t newest;			    /* private */
	size_t count;			    /* read */
};

/* Empty. */
void nonce_pool_init(struct nonce_pool *p);
/* Keeps it when it is well-formed; a full pool drops its oldest. */
void nonce_put(struct nonce_pool *p, struct str nonce);
/* Whether nonce_take would give one. */
bool nonce_ready(struct nonce_pool *p);
/* Copies the newest out; false when there is none that is young enough. */
bool nonce_take(struct nonce_pool *p, char out[ACME_NONCE_SIZE]);
/* Forgets all: after a badNonce the others are likely as stale. */
void nonce_pool_clear(struct nonce_pool *p);

#endif
