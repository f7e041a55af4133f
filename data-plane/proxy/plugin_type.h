/* A plugin as the proxy runs it: one file of data-plane/plugins behind one struct
 * (kong-admin-api.md 2.9).
 *
 * For each request the plugins run in order of priority, larger first, each with the most specific
 * instance that applies. Thread: the worker. */
#ifndef CARDEA_PROXY_PLUGIN_TYPE_H
#define CARDEA_PROXY_PLUGIN_TYPE_H

#include "data-plane/proxy/request.h"
#include "data-plane/tables/plugin.h"

enum plugin_verdict {
	PLUGIN_NEXT,
	PLUGIN_ANSWERED, /* request_answer was called */
	PLUGIN_WAITING,	 /* request_resume will be, in a later turn */
};

struct plugin_type {
	struct plugin_kind kind;
	int priority; /* Kong's */
	/* Fields of the request that this plugin ever sets: removed from what the client sent,
	 * wherever an instance of it applies or not (TR-04). NULL-terminated; may be NULL. */
	const char *const *own_fields;
	/* May be NULL. */
	enum plugin_verdict (*access)(struct request *r, const void *config);
};

#endif
