/* Which handshakes ask for a client certificate (kong-acme-hybrid.md 5.1), derived from plugins
 * whose kind asks for one:
 *
 *     global, or a route without snis ─▶ every handshake
 *     a route with snis               ─▶ handshakes for these names
 *
 *     names: "a.example.com", or "" for every handshake ─▶ struct handshake_rule   (readers)
 *
 * A handshake costs a look-up or two, and none while nobody asks. Derived anew, and compared with
 * what there is, by transactions that change routes, plugins or authorities while a plugin asks:
 * the cost is that of the routes that such plugins apply to. Readers and writer as in vmap.h. */
#ifndef CARDEA_TABLES_HANDSHAKES_H
#define CARDEA_TABLES_HANDSHAKES_H

#include <openssl/x509.h>

#include "data-plane/tables/entities.h"
#include "data-plane/tables/routes.h"

enum { HANDSHAKE_DIGEST_SIZE = 8 };

/* Immutable. */
struct handshake_rule {
	struct version version;
	/* Equal rules have equal digests; never all zero. */
	unsigned char digest[HANDSHAKE_DIGEST_SIZE];
	/* Subjects of the authorities that the request for a certificate names (send_ca_dn); NULL:
	 * it names none. */
	STACK_OF(X509_NAME) * authorities;
};

struct handshakes {
	struct vmap names; /* private; count may be read */
};

/* Empty. */
int handshakes_init(struct handshakes *t, struct err *e) must_check;
/* No reader may be left. */
void handshakes_deinit(struct handshakes *t);

/* The rule for a name in lower case ("": there is none); NULL: no certificate is asked for. Lives
 * until rcu_leave. */
const struct handshake_rule *handshakes_find(const struct handshakes *t, uint64_t generation,
					     struct str name);

/* Writer: once, when routes and entities are resolved, before the commit. */
int handshakes_resolve(struct handshakes *t, struct vmap_txn *x, const struct routes *routes,
		       const struct entities *entities, struct err *e) must_check;

#endif
