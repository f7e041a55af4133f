/* The `api` of Kong 0.3 to 0.14 as what it is today: a route and its service, and the ssl plugin of
 * that route for what neither has a field for (kong-acme-hybrid.md 4.4, 4.5). Pure. Thread: any.
 *
 *     name            route.name, and the service's when both were made as one api (same id)
 *     upstream_url    service protocol, host, port, path      retries, upstream_*_timeout   service
 *     hosts           route.hosts                             methods, preserve_host        route
 *     uris            route.paths                             strip_uri strip_path https_only
 * route.protocols is [https]              http_if_terminated            plugin
 *
 * request_host and public_dns are the first of hosts, request_path and path the first of uris,
 * target_url is upstream_url, strip_request_path and strip_path are strip_uri.
 */
#ifndef CARDEA_ADMIN_APIS_H
#define CARDEA_ADMIN_APIS_H

#include "control-plane/model/entity.h"

/* The fields of 0.10 to 0.14, and these with all older names: for forms. Not in the registry. */
extern const struct entity apis_entity, apis_body;

/* An api's rows, owned by whoever holds them; plugin may be NULL. */
struct apis_rows {
	json_t *route, *service, *plugin;
};
void apis_rows_deinit(struct apis_rows *rows);

/* Whether the fields of an api say all about a route and its service. */
bool apis_is_api(const json_t *route, const json_t *service) must_check;
/* What the older surface shows: every field under all of its names. New reference, NULL when out of
 * memory. */
json_t *apis_show(const struct apis_rows *rows);

/* A checked api out of folded input: new (old NULL, or whole), or old with input over it. NULL with
 * violations, under the client's names. */
json_t *apis_check(const json_t *input, bool whole, const json_t *old, const json_t *spelled,
		   int64_t now_ms, struct violations *v);
/* The rows that make `before` (NULL: nothing) with its rows `old` be `api`. A row that does not
 * change is NULL, but the route, whose updated_at tells. -1 with violations. */
int apis_make(struct apis_rows *out, const json_t *api, const json_t *before,
	      const struct apis_rows *old, const json_t *spelled, int64_t now_ms,
	      struct violations *v) must_check;

#endif
