/* A service of Kong's (kong-admin-api.md 2.4) as workers read it. Immutable once made. */
#ifndef CARDEA_TABLES_SERVICE_H
#define CARDEA_TABLES_SERVICE_H

#include "data-plane/tables/entities.h"

enum service_protocol {
	SERVICE_HTTP,
	SERVICE_HTTPS,
	SERVICE_GRPC,
	SERVICE_GRPCS,
	SERVICE_TCP,
	SERVICE_TLS,
	SERVICE_TLS_PASSTHROUGH,
	SERVICE_UDP,
	SERVICE_PROTOCOLS,
};

struct service {
	struct entity entity;
	struct str name; /* STR_NONE: none */
	enum service_protocol protocol;
	bool enabled;
	struct str host; /* of an upstream entity, a name, or an address; lower case */
	uint16_t port;
	struct str path; /* STR_NONE: "/" */
	unsigned retries;
	uint64_t connect_ms, write_ms, read_ms;
	const unsigned char *client_certificate; /* id; NULL: the global one */
	const unsigned char *ca_certificates;	 /* ids, one behind the other */
	size_t ca_count;			 /* 0: the global bundle */
	int tls_verify;				 /* 0, 1; -1: the global setting */
	int tls_verify_depth;			 /* -1: the global setting */
};

/* NULL: no such service. Lives until rcu_leave. */
const struct service *service_find(const struct entities *t, uint64_t generation,
				   const unsigned char id[ENTITY_ID_SIZE]);

#endif
