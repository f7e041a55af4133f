/* Plugin entities of Kong's (kong-admin-api.md 2.9) as workers read them, and how the instance that
 * applies to a request is found. Immutable once made.
 *
 * What a plugin's config means is told by its kind: data-plane/plugins has one file for each, and
 * tables_create is given the list of them. A plugin that no kind knows is none of this node's
 * business. */
#ifndef CARDEA_TABLES_PLUGIN_H
#define CARDEA_TABLES_PLUGIN_H

#include "data-plane/tables/entities.h"

enum { PLUGIN_KINDS_MAX = 16 };

/* Authorities that a plugin's config names: ids, one behind the other. */
struct plugin_authorities {
	const unsigned char *ids;
	size_t count;
	bool offered; /* the handshake names them when it asks for a certificate (send_ca_dn) */
};

struct plugin_kind {
	const char *name;
	size_t config_size; /* bytes of what configure fills in */
	/* config is zeroed; what it points to is in the arena and lives as long. ERR_INVALID: the
	 * revision is refused with this reason. Thread: sync. May be NULL. */
	int (*configure)(void *config, const struct fields *fields, struct arena *a, struct err *e);
	/* Frees what is not in the arena. May be NULL. */
	void (*release)(void *config);
	/* Whether the handshake has to ask for a client certificate where this instance applies.
	 * May be NULL: no. */
	bool (*asks_certificate)(const void *config);
	/* May be NULL: none. */
	struct plugin_authorities (*authorities)(const void *config);
};

/* Sets of the protocols of Kong's routes and plugins. */
enum protocol_bit {
	PROTOCOL_HTTP = 0x001,
	PROTOCOL_HTTPS = 0x002,
	PROTOCOL_GRPC = 0x004,
	PROTOCOL_GRPCS = 0x008,
	PROTOCOL_TCP = 0x010,
	PROTOCOL_TLS = 0x020,
	PROTOCOL_TLS_PASSTHROUGH = 0x040,
	PROTOCOL_UDP = 0x080,
	PROTOCOL_WS = 0x100,
	PROTOCOL_WSS = 0x200,
};

/* The set that the field "protocols" names. ERR_INVALID: one of them is not known. */
int protocols_read(const struct fields *f, unsigned absent, unsigned *out,
		   struct err *e) must_check;

struct plugin {
	struct entity entity;
	unsigned kind; /* index into the list of kinds; PLUGIN_KINDS_MAX: none of them */
	const struct plugin_kind *type; /* NULL: none */
	bool enabled;
	unsigned protocols;
	const unsigned char *route, *service, *consumer; /* ids; NULL: any */
	const void *config;
};

/* The most specific enabled instance of a kind for a request (Kong's order: route+service+consumer,
 * route+consumer, service+consumer, route+service, consumer, route, service, global), or NULL. ids
 * may be NULL. Cheap when there is none of that kind. Lives until rcu_leave. */
const struct plugin *plugin_find(const struct entities *t, uint64_t generation, unsigned kind,
				 const unsigned char *route, const unsigned char *service,
				 const unsigned char *consumer);
/* Every enabled instance of a kind, or NULL: items are struct plugin, by entity_of. */
const struct entity_list *plugin_instances(const struct entities *t, uint64_t generation,
					   unsigned kind);
/* The same as it will be when the open transaction commits. Thread: the writer. */
const struct entity_list *plugin_instances_staged(const struct entities *t, unsigned kind);

#endif
