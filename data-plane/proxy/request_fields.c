/* What is sent upstream instead of what the client sent, and back. */
#include "common/http/path.h"
#include "data-plane/proxy/forwarded.h"
#include "data-plane/proxy/request_internal.h"
#include "data-plane/proxy/upstream_path.h"

enum { SPARE_FIELDS = 16 };

/* --- lists --- */

static void remove_all(struct http_fields *f, struct str name)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->count; i++)
		if (!str_ieq(f->items[i].name, name))
			f->items[kept++] = f->items[i];
	f->count = kept;
}

int request_set_field(struct request *r, struct str name, struct str value)
{
	remove_all(&r->set_fields, name);
	return http_fields_add(&r->set_fields, request_arena(r), name, value);
}

void request_remove_field(struct request *r, struct str name)
{
	remove_all(&r->set_fields, name);
	if (http_fields_add(&r->set_fields, request_arena(r), name, STR_NONE) != 0)
		r->out_of_memory = true;
}

int request_set_response_field(struct request *r, struct str name, struct str value)
{
	remove_all(&r->response_fields, name);
	return http_fields_add(&r->response_fields, request_arena(r), name, value);
}

/* --- to the upstream --- */

/* Upstreams that make variables of names cannot tell `_` from `-` (TR-03). */
static bool is_same_name(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		char x = a.ptr[i] == '_' ? '-' : ascii_lower(a.ptr[i]);
		char y = b.ptr[i] == '_' ? '-' : ascii_lower(b.ptr[i]);

		if (x != y)
			return false;
	}
	return true;
}

/* TR-04: whatever a plugin ever sets, whether one applies here or not. */
static bool is_of_plugin(const struct proxy *p, struct str name)
{
	const struct plugin_type *const *types = p->options.plugins;

	if (name.len < PROXY_OWN_SHORT && !(p->own_lengths >> name.len & 1))
		return false;
	for (; types && *types; types++)
		for (const char *const *own = (*types)->own_fields; own && *own; own++)
			if (is_same_name(str_from(*own), name))
				return true;
	return false;
}

static bool is_set(const struct request *r, struct str name)
{
	for (size_t i = 0; i < r->set_fields.count; i++)
		if (is_same_name(r->set_fields.items[i].name, name))
			return true;
	return false;
}

/* Whether the client may not say it: Cardea does, or nobody. */
static bool is_taken(const struct request *r, struct str name)
{
	return forwarded_replaces(name) || is_of_plugin(r->proxy, name) || is_set(r, name);
}

static int add(struct request *r, struct str name, struct str value)
{
	if (!value.ptr)
		return -1;
	return http_fields_add(&r->out.fields, request_arena(r), name, value);
}

/* A part of the normal form as it may stand in a field: that form holds any byte. ptr NULL: out of
 * memory. */
static struct str sent_form(struct request *r, struct str part)
{
	struct buf *b = &r->proxy->scratch;

	buf_clear(b);
	if (buf_add_str(b, part, NULL) != 0 || http_path_escape(b, 0, NULL) != 0)
		return STR_NONE;
	return arena_str(request_arena(r), buf_str(b));
}

static int add_forwarded(struct request *r)
{
	bool stripped = r->action.strip_path && r->matched.len > 0 && !str_eq(r->matched, STR("/"));
	const struct forwarded f = {
		.request = r->head,
		.client = &r->client,
		.prefix = stripped ? sent_form(r, r->matched) : STR_NONE,
		.id = request_id(r),
	};

	if (stripped && !f.prefix.ptr)
		return -1;
	return forwarded_add(&r->out.fields, &r->out.lines.of[1], request_arena(r), &f);
}

static int copy_fields(struct request *r)
{
	const struct http_fields *in = &r->head->fields;
	struct http_fields *out = &r->out.fields;
	size_t cap = in->count + r->set_fields.count + SPARE_FIELDS;

	out->items = arena_alloc(request_arena(r), cap * sizeof(*out->items));
	if (!out->items)
		return -1;
	out->cap = cap;
	for (size_t i = 0; i < in->count; i++) {
		if (!is_taken(r, in->items[i].name))
			out->items[out->count++] = in->items[i];
	}
	return 0;
}

const struct http_fields *request_trailers(struct request *r)
{
	const struct http_fields *in = exchange_request_trailers(r->exchange);
	struct http_fields *out = &r->trailers;

	if (out->items || in->count == 0)
		return out;
	out->items = arena_alloc(request_arena(r), in->count * sizeof(*out->items));
	out->cap = out->items ? in->count : 0;
	for (size_t i = 0; out->items && i < in->count; i++)
		if (!is_taken(r, in->items[i].name))
			out->items[out->count++] = in->items[i];
	return out;
}

static int add_set(struct request *r)
{
	for (size_t i = 0; i < r->set_fields.count; i++) {
		const struct http_field *f = &r->set_fields.items[i];

		if (!f->value.ptr)
			continue;
		remove_all(&r->out.fields, f->name);
		if (add(r, f->name, f->value) != 0)
			return -1;
	}
	return 0;
}

int request_make_out(struct request *r)
{
	r->out = *r->head;
	r->out.version = HTTP_11;
	r->out.fields = (struct http_fields){NULL, 0, 0};
	if (r->out_of_memory || copy_fields(r) != 0 || add_forwarded(r) != 0)
		return -1;
	return add_set(r);
}

/* --- for the target --- */

static int aim_path(struct request *r)
{
	const struct upstream_path_rule rule = {
		.base = r->service->path,
		.strip = r->action.strip_path,
		.v1 = r->action.path_v1,
	};
	struct buf *b = &r->proxy->scratch;
	struct err e;

	err_clear(&e);
	if (str_eq(r->head->target, STR("*")))
		return 0;
	buf_clear(b);
	if (upstream_path(b, &rule, r->path, r->matched, &e) != 0)
		return -1;
	r->out.path = (struct str){NULL, b->len};
	if (r->head->query.ptr &&
	    (buf_add_str(b, STR("?"), &e) != 0 || buf_add_str(b, r->head->query, &e) != 0))
		return -1;
	r->out.target = arena_str(request_arena(r), buf_str(b));
	r->out.path = str_sub(r->out.target, 0, r->out.path.len);
	return r->out.target.ptr ? 0 : -1;
}

static int aim_host(struct request *r, const struct upstream *u)
{
	enum service_protocol protocol = r->service->protocol;
	bool tls = protocol == SERVICE_HTTPS || protocol == SERVICE_GRPCS;
	struct str host = r->pick.host;
	bool bare6 = str_find(host, ':', 0) < host.len && host.ptr[0] != '[';
	struct buf *b = &r->proxy->scratch;
	char port[STR_DECIMAL_SIZE];
	struct err e;

	err_clear(&e);
	if (r->action.preserve_host && r->head->authority.ptr) {
		r->out.authority = r->head->authority;
		return 0;
	}
	if (u && u->host_header.ptr) {
		r->out.authority = arena_str(request_arena(r), u->host_header);
		return r->out.authority.ptr ? 0 : -1;
	}
	buf_clear(b);
	if ((bare6 && buf_add_str(b, STR("["), &e) != 0) || buf_add_str(b, host, &e) != 0 ||
	    (bare6 && buf_add_str(b, STR("]"), &e) != 0))
		return -1;
	if (r->pick.port != (tls ? 443 : 80) &&
	    (buf_add_str(b, STR(":"), &e) != 0 ||
	     buf_add_str(b, str_decimal(port, r->pick.port), &e) != 0))
		return -1;
	r->out.authority = arena_str(request_arena(r), buf_str(b));
	return r->out.authority.ptr ? 0 : -1;
}

int request_aim(struct request *r, const struct upstream *u)
{
	enum service_protocol protocol = r->service->protocol;
	bool tls = protocol == SERVICE_HTTPS || protocol == SERVICE_GRPCS;

	r->out.scheme = tls ? STR("https") : STR("http");
	return aim_path(r) == 0 && aim_host(r, u) == 0 ? 0 : -1;
}

/* --- back --- */

int request_response_fields(struct request *r, struct http_fields *f, unsigned status)
{
	const struct token_facts facts = {
		.id = request_id(r),
		.from_upstream = true,
		.upstream_status = status,
		.proxy_ms = (r->sent_ns - r->started_ns) / 1000000,
		.upstream_ms = (r->answered_ns - r->sent_ns) / 1000000,
	};

	for (size_t i = 0; i < r->response_fields.count; i++) {
		remove_all(f, r->response_fields.items[i].name);
		if (http_fields_add(f, request_arena(r), r->response_fields.items[i].name,
				    r->response_fields.items[i].value) != 0)
			return -1;
	}
	if (r->pick.set_cookie.ptr &&
	    http_fields_add(f, request_arena(r), STR("set-cookie"), r->pick.set_cookie) != 0)
		return -1;
	return tokens_add(&r->proxy->options.edge->tokens, f, request_arena(r), &facts);
}
