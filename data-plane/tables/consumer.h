/* Consumers and authorities of Kong's (kong-admin-api.md 2.3, 2.8), and which names in certificates
 * are a consumer's (kong-acme-hybrid.md 5.1, 5.2: mtls-auths, header-cert-auths), as workers read
 * them. Immutable once made.
 */
#ifndef CARDEA_TABLES_CONSUMER_H
#define CARDEA_TABLES_CONSUMER_H

#include <openssl/x509.h>

#include "data-plane/tables/entities.h"

struct consumer {
	struct entity entity;
	struct str username, custom_id; /* STR_NONE: none */
};

/* NULL: no such entity. What is found lives until rcu_leave. */
const struct consumer *consumer_find(const struct entities *t, uint64_t generation,
				     const unsigned char id[ENTITY_ID_SIZE]);
const struct consumer *consumer_by_username(const struct entities *t, uint64_t generation,
					    struct str username);
const struct consumer *consumer_by_custom_id(const struct entities *t, uint64_t generation,
					     struct str custom_id);

struct ca_certificate {
	struct entity entity;
	X509 *x509; /* take a reference to keep it longer */
};

/* NULL: no such authority. Lives until rcu_leave. */
const struct ca_certificate *ca_certificate_find(const struct entities *t, uint64_t generation,
						 const unsigned char id[ENTITY_ID_SIZE]);

struct cert_credential {
	struct entity entity;
	struct str subject_name;
	const unsigned char *consumer;	     /* id */
	const unsigned char *ca_certificate; /* id; NULL: of whatever authority */
};

/* kind: ENTITIES_MTLS_CREDENTIAL or ENTITIES_HEADER_CREDENTIAL.
 * Those with this name, or NULL: items are struct cert_credential, by entity_of. Lives until
 * rcu_leave. */
const struct entity_list *cert_credentials_named(const struct entities *t, uint64_t generation,
						 enum entities_kind kind, struct str subject_name);

#endif
