#include "data-plane/sync/apply_entities.h"

#include "data-plane/tables/fields.h"
#include "data-plane/tables/plugin.h"

enum { REDIRECT_DEFAULT = 426 };

static int texts(const struct fields *f, const char *name, struct arena *a, struct route_texts *out,
		 struct err *e)
{
	struct fields_texts t;

	if (fields_texts(f, name, a, &t, e) < 0)
		return -1;
	*out = (struct route_texts){t.items, t.count};
	return 0;
}

static int headers(const struct fields *f, struct arena *a, struct route_source *s, struct err *e)
{
	const struct fields *map = fields_record(f, "headers");
	size_t n = fields_count(map);
	struct route_header_source *h;

	if (n == 0)
		return 0;
	h = arena_alloc(a, n * sizeof(*h));
	if (!h)
		return err_memory(e, "reading headers");
	for (size_t i = 0; i < n; i++) {
		h[i].name = str_from(fields_name(map, i));
		if (texts(map, fields_name(map, i), a, &h[i].values, e) < 0)
			return -1;
	}
	s->headers = h;
	s->header_count = n;
	return 0;
}

static int endpoints(const struct fields *f, const char *name, struct arena *a,
		     struct route_endpoints *out, struct err *e)
{
	struct route_endpoint *items;
	size_t n = 0;

	while (fields_item(f, name, n))
		n++;
	if (n == 0)
		return 0;
	items = arena_alloc(a, n * sizeof(*items));
	if (!items)
		return err_memory(e, "reading a route");
	for (size_t i = 0; i < n; i++) {
		const struct fields *one = fields_item(f, name, i);

		if (route_endpoint_parse(&items[i], fields_text(one, "ip"),
					 fields_integer(one, "port", 0), e) != 0)
			return err_prefix(e, "%s", name);
	}
	*out = (struct route_endpoints){items, n};
	return 0;
}

/* Kong's defaults; a gRPC route keeps the path, which names the method. */
static int action(const struct fields *f, struct route_action *out, struct err *e)
{
	const unsigned grpc = PROTOCOL_GRPC | PROTOCOL_GRPCS;
	int64_t redirect = fields_integer(f, "https_redirect_status_code", REDIRECT_DEFAULT);

	if (protocols_read(f, PROTOCOL_HTTP | PROTOCOL_HTTPS, &out->protocols, e) < 0)
		return -1;
	if (redirect != REDIRECT_DEFAULT && redirect != 301 && redirect != 302 && redirect != 307 &&
	    redirect != 308)
		return err_set(e, ERR_INVALID, "https_redirect_status_code: %lld is none",
			       (long long)redirect);
	out->redirect_status = (unsigned)redirect;
	out->strip_path = fields_flag(f, "strip_path", !(out->protocols & grpc));
	out->preserve_host = fields_flag(f, "preserve_host", false);
	out->path_v1 = str_eq(fields_text(f, "path_handling"), STR("v1"));
	out->request_buffering = fields_flag(f, "request_buffering", true);
	out->response_buffering = fields_flag(f, "response_buffering", true);
	out->service = fields_id(f, "service");
	out->name = fields_text(f, "name");
	return 0;
}

/* A time that came as a number; what can be none is the beginning of time. */
static int64_t seconds(double n)
{
	const double largest = 1e15;

	return n >= 0 && n <= largest ? (int64_t)n : 0;
}

int apply_put_route(struct tables *t, const struct change *c, struct err *e)
{
	const unsigned streams =
		PROTOCOL_TCP | PROTOCOL_TLS | PROTOCOL_TLS_PASSTHROUGH | PROTOCOL_UDP;
	const struct fields *f = c->u.fields;
	struct route_source s = {
		.regex_priority = fields_integer(f, "regex_priority", 0),
		.created_at = seconds(fields_number(f, "created_at", 0)),
		.payload = c->encoded,
	};
	struct arena memory;
	int rc;

	arena_init(&memory, 0);
	rc = action(f, &s.action, e);
	s.stream = rc == 0 && (s.action.protocols & streams);
	rc = rc ? rc : texts(f, "hosts", &memory, &s.hosts, e);
	rc = rc ? rc : texts(f, "paths", &memory, &s.paths, e);
	rc = rc ? rc : texts(f, "methods", &memory, &s.methods, e);
	rc = rc ? rc : texts(f, "snis", &memory, &s.snis, e);
	rc = rc ? rc : headers(f, &memory, &s, e);
	rc = rc ? rc : endpoints(f, "sources", &memory, &s.sources, e);
	rc = rc ? rc : endpoints(f, "destinations", &memory, &s.destinations, e);
	rc = rc ? rc : routes_put(&t->routes, &t->txn, c->id, &s, e);
	arena_deinit(&memory);
	return rc;
}

static enum entities_kind kind_of(const struct change *c)
{
	return (enum entities_kind)(c->kind - CHANGE_SERVICE);
}

static_assert(CHANGE_KINDS - CHANGE_SERVICE == (int)ENTITIES_KINDS, "both know the same kinds");

int apply_put_entity(struct tables *t, const struct change *c, struct err *e)
{
	return entities_put(&t->entities, &t->txn, kind_of(c), c->id, c->u.fields, c->encoded, e);
}

int apply_remove_entity(struct tables *t, const struct change *c, struct err *e)
{
	return entities_remove(&t->entities, &t->txn, kind_of(c), c->id, e);
}
