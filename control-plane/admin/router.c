#include "control-plane/admin/router.h"

#include <stdio.h>
#include <string.h>

/* "/a//b" has an empty segment and names nothing; one trailing slash is forgiven. */
static bool split_path(struct admin_request *r, struct str path, struct arena *a)
{
	struct str rest = str_sub(path, 1, path.len), segment;

	if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
		rest.len--;
	r->segment_count = 0;
	if (rest.len == 0)
		return path.len <= 1;
	while (str_split(&rest, '/', &segment)) {
		if (segment.len == 0 || r->segment_count == ADMIN_SEGMENTS_MAX)
			return false;
		if (http_percent_decode(a, segment, false, &r->segments[r->segment_count]) < 0)
			return false;
		r->segment_count++;
	}
	return true;
}

/* Clients of workspaces always name the default one (kong-admin-api.md 1.11). */
static void strip_workspace(struct admin_request *r)
{
	if (r->segment_count == 0 || !str_eq(r->segments[0], STR("default")))
		return;
	r->segment_count--;
	memmove(r->segments, r->segments + 1, r->segment_count * sizeof(r->segments[0]));
}

static bool pattern_matches(const char *pattern, const struct admin_request *r)
{
	struct str rest = str_from(pattern + 1), segment;
	size_t i = 0;

	if (rest.len == 0)
		return r->segment_count == 0;
	for (; str_split(&rest, '/', &segment); i++) {
		if (i == r->segment_count)
			return false;
		if (segment.ptr[0] != ':' && !str_eq(segment, r->segments[i]))
			return false;
	}
	return i == r->segment_count;
}

static const struct entity *public_entity(const struct entity *t)
{
	return t && !t->internal ? t : NULL;
}

/* /routes/{key}/service: what the first entity refers to. */
static const struct route *reference_route(struct admin_request *r, const struct entity *first)
{
	const struct field *via = entity_field(first, r->segments[2]);

	if (r->segment_count != 3 || !via || via->type != FIELD_FOREIGN || first->no_reverse ||
	    first->below_parent)
		return NULL;
	r->entity = public_entity(entity_find(str_from(via->reference)));
	r->parent = NULL;
	r->child = first;
	r->child_key = r->segments[1];
	r->via = via;
	return r->entity ? &admin_entity_routes[ROUTE_REFERENCE] : NULL;
}

/* /{parent}/{key}/{child} is there when child refers to parent. */
static const struct route *nested_route(struct admin_request *r, const struct entity *first)
{
	r->entity = public_entity(entity_of_path(r->segments[2], true));
	if (!r->entity || !entity_reference(r->entity, first))
		return reference_route(r, first);
	r->parent = first;
	r->parent_key = r->segments[1];
	if (r->segment_count == 4)
		r->key = r->segments[3];
	return &admin_entity_routes[r->segment_count - 1];
}

static const struct route *entity_route(struct admin_request *r)
{
	const struct entity *first;

	if (r->segment_count == 0 || r->segment_count > 4)
		return NULL;
	first = public_entity(entity_of_path(r->segments[0], false));
	if (!first || (first->below_parent && r->segment_count < 3))
		return NULL;
	if (r->segment_count > 2)
		return nested_route(r, first);
	r->entity = first;
	if (r->segment_count == 2)
		r->key = r->segments[1];
	return &admin_entity_routes[r->segment_count - 1];
}

static const struct route *find_route(struct admin_request *r)
{
	for (const struct route *t = admin_routes; t->pattern; t++)
		if (pattern_matches(t->pattern, r))
			return t;
	return entity_route(r);
}

static admin_handler handler_of(const struct route *t, struct str method)
{
	const struct {
		struct str method;
		admin_handler handler;
	} by_method[] = {
		{STR("GET"), t->get}, {STR("HEAD"), t->get},	{STR("POST"), t->post},
		{STR("PUT"), t->put}, {STR("PATCH"), t->patch}, {STR("DELETE"), t->del},
	};

	for (size_t i = 0; i < array_len(by_method); i++)
		if (str_eq(by_method[i].method, method))
			return by_method[i].handler;
	return NULL;
}

enum router_verdict router_find(struct admin_request *r, const struct http_request *q,
				struct arena *a, const struct route **route)
{
	const struct route *found;

	if (q->path.len == 0 || q->path.ptr[0] != '/' || !split_path(r, q->path, a))
		return ROUTER_NO_PATH;
	strip_workspace(r);
	found = find_route(r);
	if (!found)
		return ROUTER_NO_PATH;
	*route = found;
	r->deprecated = found->older;
	if (str_eq(q->method, STR("OPTIONS")))
		return ROUTER_OPTIONS;
	r->handler = handler_of(found, q->method);
	r->streams = found->streams && str_eq(q->method, STR("POST"));
	return r->handler ? ROUTER_FOUND : ROUTER_NO_METHOD;
}

struct str router_allowed(const struct route *t, struct arena *a)
{
	char text[64] = "";
	const struct {
		const char *name;
		bool there;
	} methods[] = {
		{"DELETE", t->del != NULL}, {"GET", t->get != NULL},	 {"HEAD", t->get != NULL},
		{"OPTIONS", true},	    {"PATCH", t->patch != NULL}, {"POST", t->post != NULL},
		{"PUT", t->put != NULL},
	};
	size_t used = 0;

	for (size_t i = 0; i < array_len(methods); i++) {
		if (!methods[i].there)
			continue;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? ", " : "",
					 methods[i].name);
	}
	return arena_str(a, str_from(text));
}
