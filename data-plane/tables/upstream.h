/* Upstreams and targets of Kong's (kong-admin-api.md 2.6, 2.7) as workers read them. Immutable once
 * made. */
#ifndef CARDEA_TABLES_UPSTREAM_H
#define CARDEA_TABLES_UPSTREAM_H

#include "data-plane/tables/entities.h"

enum upstream_algorithm {
	ALGORITHM_ROUND_ROBIN,
	ALGORITHM_LEAST_CONNECTIONS,
	ALGORITHM_CONSISTENT_HASHING,
	ALGORITHM_LATENCY,
	ALGORITHMS,
};

enum hash_source {
	HASH_NONE,
	HASH_CONSUMER,
	HASH_IP,
	HASH_HEADER,
	HASH_COOKIE,
	HASH_PATH,
	HASH_QUERY_ARG,
	HASH_URI_CAPTURE,
	HASH_SOURCES,
};

struct hash_input {
	enum hash_source source;
	struct str name; /* of the header, cookie, argument or capture */
};

enum check_type { CHECK_TCP, CHECK_HTTP, CHECK_HTTPS, CHECK_GRPC, CHECK_GRPCS, CHECK_TYPES };

/* One side of active or passive checks; 0 turns a counter off. */
struct check_rule {
	double interval; /* seconds; active only */
	unsigned successes, tcp_failures, timeouts, http_failures;
	const uint16_t *statuses;
	size_t status_count;
};

struct health_checks {
	double threshold; /* percent of weight below which nothing is healthy */
	bool panic;	  /* then all are used, instead of none (UP-15) */
	struct {
		enum check_type type;
		double timeout; /* seconds */
		int64_t concurrency;
		struct str path;
		struct str sni; /* STR_NONE: the target's name */
		bool verify;
		const struct entity_field *headers;
		size_t header_count;
		struct check_rule healthy, unhealthy;
	} active;
	struct {
		enum check_type type;
		struct check_rule healthy, unhealthy;
	} passive;
};

struct upstream {
	struct entity entity;
	struct str name; /* lower case */
	enum upstream_algorithm algorithm;
	struct hash_input hash, fallback;
	struct str hash_cookie_path;
	unsigned slots;
	struct health_checks checks;
	struct str host_header;			 /* STR_NONE: the target's */
	const unsigned char *client_certificate; /* id, or NULL */
	bool use_srv_name;
};

struct target {
	struct entity entity;
	unsigned char upstream[ENTITY_ID_SIZE];
	struct str host; /* a name or an address, without brackets; lower case */
	uint16_t port;
	unsigned weight; /* 0: not used */
	double created_at;
};

/* NULL: no such entity. What is found lives until rcu_leave. */
const struct upstream *upstream_find(const struct entities *t, uint64_t generation,
				     const unsigned char id[ENTITY_ID_SIZE]);
const struct upstream *upstream_by_name(const struct entities *t, uint64_t generation,
					struct str name);
/* Its targets: items[i] are struct target, by entity_of; NULL: none. The list is another object
 * whenever any of them changed. */
const struct entity_list *upstream_targets(const struct entities *t, uint64_t generation,
					   const unsigned char id[ENTITY_ID_SIZE]);

#endif
