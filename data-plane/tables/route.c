#define PCRE2_CODE_UNIT_WIDTH 8
#include "data-plane/tables/route.h"

#include <pcre2.h>
#include <stdlib.h>

/* Larger first within a category (kong-admin-api.md 2.5). */
enum preference {
	PREFER_REGEX = 0x01,
	PREFER_PLAIN_HOSTS = 0x02, /* none is a pattern */
	PREFER_PATTERN_WITH_PORT = 0x04,
};

/* Bytes of an arena's block: most routes are smaller than the usual one. */
enum { BLOCK_SIZE = 512 };

/* --- copying --- */

static int copy_text(struct arena *a, struct str in, bool lower, struct str *out, struct err *e)
{
	char *copy;

	if (in.len == 0 || in.len > ROUTE_TEXT_MAX)
		return err_set(e, ERR_INVALID, "text of %zu bytes: 1 to %d are allowed", in.len,
			       ROUTE_TEXT_MAX);
	copy = arena_alloc(a, in.len);
	if (!copy)
		return err_memory(e, "storing a route");
	for (size_t i = 0; i < in.len; i++)
		copy[i] = lower ? ascii_lower(in.ptr[i]) : in.ptr[i];
	*out = (struct str){copy, in.len};
	return 0;
}

static int copy_texts(struct arena *a, const struct route_texts *in, bool lower,
		      struct route_texts *out, struct err *e)
{
	struct str *items;

	if (in->count > ROUTE_VALUES_MAX)
		return err_set(e, ERR_INVALID, "list of %zu: at most %d are allowed", in->count,
			       ROUTE_VALUES_MAX);
	if (in->count == 0)
		return 0;
	items = arena_alloc(a, in->count * sizeof(*items));
	if (!items)
		return err_memory(e, "storing a route");
	for (size_t i = 0; i < in->count; i++)
		if (copy_text(a, in->items[i], lower, &items[i], e) < 0)
			return -1;
	*out = (struct route_texts){items, in->count};
	return 0;
}

/* --- expressions --- */

static int compile(pcre2_code **out, struct str text, uint32_t options, struct err *e)
{
	PCRE2_UCHAR why[128];
	PCRE2_SIZE at;
	int code;

	*out = pcre2_compile((PCRE2_SPTR)text.ptr, text.len, options, &code, &at, NULL);
	if (*out) {
		pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* slower without it, no worse */
		return 0;
	}
	if (pcre2_get_error_message(code, why, sizeof(why)) < 0)
		why[0] = '\0';
	return err_set(e, ERR_INVALID, "invalid regex: %s at offset %zu", (const char *)why, at);
}

static bool is_literal(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '/' || c == '-' || c == '_' || c == '~' || c == '%';
}

/* An alternative at the top says that a match may begin in another way. */
static bool has_alternatives(struct str regex)
{
	size_t depth = 0;

	for (size_t i = 0; i < regex.len; i++) {
		if (regex.ptr[i] == '\\')
			i++;
		else if (regex.ptr[i] == '(')
			depth++;
		else if (regex.ptr[i] == ')' && depth > 0)
			depth--;
		else if (regex.ptr[i] == '|' && depth == 0)
			return true;
	}
	return false;
}

/* Short rather than wrong: brackets are not looked into, so that a '(' in one only hides a '|' from
 * has_alternatives when the text before it is already the literal. */
static struct str literal_of(struct str regex)
{
	size_t n = 0;

	if (memchr(regex.ptr, '[', regex.len) && memchr(regex.ptr, '|', regex.len))
		return (struct str){regex.ptr, 0};
	if (has_alternatives(regex))
		return (struct str){regex.ptr, 0};
	while (n < regex.len && is_literal(regex.ptr[n]))
		n++;
	/* What follows may repeat the last character, or make it optional. */
	if (n > 0 && n < regex.len && strchr("?*+{", regex.ptr[n]))
		n--;
	return (struct str){regex.ptr, n};
}

/* --- a route --- */

static int copy_header(struct route *r, struct route_header *out,
		       const struct route_header_source *in, struct err *e)
{
	struct str first = in->values.count == 1 ? in->values.items[0] : STR_NONE;

	if (copy_text(&r->memory, in->name, true, &out->name, e) < 0 ||
	    copy_texts(&r->memory, &in->values, true, &out->values, e) < 0)
		return err_prefix(e, "headers");
	if (str_starts(first, STR("~*")) &&
	    compile(&out->pattern, str_sub(first, 2, first.len), 0, e) < 0)
		return err_prefix(e, "headers");
	return 0;
}

static int copy_headers(struct route *r, const struct route_source *s, struct err *e)
{
	if (s->header_count > ROUTE_VALUES_MAX)
		return err_set(e, ERR_INVALID, "%zu headers: at most %d are allowed",
			       s->header_count, ROUTE_VALUES_MAX);
	if (s->header_count == 0)
		return 0;
	r->headers = arena_alloc(&r->memory, s->header_count * sizeof(*r->headers));
	if (!r->headers)
		return err_memory(e, "storing a route");
	for (size_t i = 0; i < s->header_count; i++) {
		r->header_count = i + 1;
		if (copy_header(r, &r->headers[i], &s->headers[i], e) < 0)
			return -1;
	}
	return 0;
}

static int fill_entry(struct route *r, struct route_entry *entry, struct str path, struct err *e)
{
	bool regex = str_starts(path, STR("~/"));

	if (!regex && !str_starts(path, STR("/")))
		return err_set(e, ERR_INVALID, "a path begins with / or ~/");
	if (copy_text(&r->memory, str_sub(path, regex, path.len), false, &entry->path, e) < 0)
		return -1;
	if (!regex)
		return 0;
	entry->preference |= PREFER_REGEX;
	entry->literal = literal_of(entry->path);
	return compile(&entry->regex, entry->path, PCRE2_ANCHORED, e);
}

static uint8_t host_preference(const struct route *r)
{
	uint8_t p = r->hosts.count ? PREFER_PLAIN_HOSTS : 0;

	for (size_t i = 0; i < r->hosts.count; i++) {
		struct str host = r->hosts.items[i];

		if (!route_host_is_wildcard(host))
			continue;
		p &= (uint8_t)~PREFER_PLAIN_HOSTS;
		if (str_find(host, ':', 0) < host.len)
			p |= PREFER_PATTERN_WITH_PORT;
	}
	return p;
}

static int make_entries(struct route *r, const struct route_source *s, struct err *e)
{
	size_t n = s->paths.count ? s->paths.count : 1;
	uint8_t preference = host_preference(r);

	if (n > ROUTE_VALUES_MAX)
		return err_set(e, ERR_INVALID, "%zu paths: at most %d are allowed", n,
			       ROUTE_VALUES_MAX);
	r->entries = arena_alloc(&r->memory, n * sizeof(*r->entries));
	if (!r->entries)
		return err_memory(e, "storing a route");
	for (size_t i = 0; i < n; i++) {
		struct route_entry *entry = &r->entries[i];

		*entry = (struct route_entry){
			.route = r, .position = (uint32_t)i, .preference = preference};
		r->entry_count = i + 1;
		if (s->paths.count && fill_entry(r, entry, s->paths.items[i], e) < 0)
			return err_prefix(e, "paths");
	}
	return 0;
}

static int copy_endpoints(struct arena *a, const struct route_endpoints *in,
			  struct route_endpoints *out, struct err *e)
{
	size_t size = in->count * sizeof(*in->items);
	struct route_endpoint *items;

	if (in->count > ROUTE_VALUES_MAX)
		return err_set(e, ERR_INVALID, "list of %zu: at most %d are allowed", in->count,
			       ROUTE_VALUES_MAX);
	if (in->count == 0)
		return 0;
	items = arena_alloc(a, size);
	if (!items)
		return err_memory(e, "storing a route");
	memcpy(items, in->items, size);
	*out = (struct route_endpoints){items, in->count};
	return 0;
}

static int fill_stream(struct route *r, const struct route_source *s, struct err *e)
{
	if (copy_endpoints(&r->memory, &s->sources, &r->sources, e) < 0)
		return err_prefix(e, "sources");
	if (copy_endpoints(&r->memory, &s->destinations, &r->destinations, e) < 0)
		return err_prefix(e, "destinations");
	r->stream =
		(uint8_t)((r->snis.count ? ROUTE_SNI : 0) | (r->sources.count ? ROUTE_SOURCE : 0) |
			  (r->destinations.count ? ROUTE_DESTINATION : 0));
	return r->stream ? 0 : err_set(e, ERR_INVALID, "a route must constrain something");
}

static void set_category(struct route *r, const struct route_source *s)
{
	r->category =
		(uint8_t)((r->hosts.count ? ROUTE_HOST : 0) | (r->header_count ? ROUTE_HEADER : 0) |
			  (s->paths.count ? ROUTE_PATH : 0) |
			  (r->methods.count ? ROUTE_METHOD : 0) | (r->snis.count ? ROUTE_SNI : 0));
}

static int copy_action(struct route *r, const struct route_action *in, struct err *e)
{
	struct str id;

	r->action = *in;
	r->action.service = NULL;
	r->action.name = STR_NONE;
	if (in->name.len && copy_text(&r->memory, in->name, false, &r->action.name, e) < 0)
		return err_prefix(e, "name");
	if (!in->service)
		return 0;
	id = arena_str(&r->memory, (struct str){(const char *)in->service, ROUTE_ID_SIZE});
	r->action.service = (const unsigned char *)id.ptr;
	return id.ptr ? 0 : err_memory(e, "storing a route");
}

static int fill(struct route *r, const struct route_source *s, struct err *e)
{
	struct arena *a = &r->memory;

	r->regex_priority = s->regex_priority;
	r->created_at = s->created_at;
	r->payload = arena_str(a, s->payload.ptr ? s->payload : STR(""));
	if (!r->payload.ptr)
		return err_memory(e, "storing a route");
	if (copy_texts(a, &s->hosts, true, &r->hosts, e) < 0)
		return err_prefix(e, "hosts");
	if (copy_texts(a, &s->methods, false, &r->methods, e) < 0)
		return err_prefix(e, "methods");
	if (copy_texts(a, &s->snis, true, &r->snis, e) < 0)
		return err_prefix(e, "snis");
	if (copy_headers(r, s, e) < 0 || make_entries(r, s, e) < 0 ||
	    copy_action(r, &s->action, e) < 0)
		return -1;
	if (s->stream)
		return fill_stream(r, s, e);
	set_category(r, s);
	return r->category ? 0 : err_set(e, ERR_INVALID, "a route must constrain something");
}

int route_make(struct route **out, const unsigned char id[ROUTE_ID_SIZE],
	       const struct route_source *s, struct err *e)
{
	struct route *r = calloc(1, sizeof(*r));

	if (!r)
		return err_memory(e, "storing a route");
	arena_init(&r->memory, 0);
	r->memory.block = BLOCK_SIZE;
	memcpy(r->id, id, ROUTE_ID_SIZE);
	if (fill(r, s, e) < 0) {
		route_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void route_free(struct route *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->entry_count; i++)
		pcre2_code_free(r->entries[i].regex);
	for (size_t i = 0; i < r->header_count; i++)
		pcre2_code_free(r->headers[i].pattern);
	arena_deinit(&r->memory);
	free(r);
}

/* --- order --- */

static int larger_first(int64_t a, int64_t b)
{
	return (a < b) - (a > b);
}

/* A prefix's length; expressions count nothing. */
static int64_t prefix_length(const struct route_entry *entry)
{
	return entry->regex ? 0 : (int64_t)entry->path.len;
}

int route_entry_compare(const struct route_entry *a, const struct route_entry *b)
{
	const struct route *x = a->route, *y = b->route;
	int order = larger_first(a->preference, b->preference);

	if (order == 0)
		order = larger_first((int64_t)x->header_count, (int64_t)y->header_count);
	if (order == 0 && a->regex)
		order = larger_first(x->regex_priority, y->regex_priority);
	if (order == 0)
		order = larger_first(prefix_length(a), prefix_length(b));
	if (order == 0)
		order = larger_first(y->created_at, x->created_at);
	/* Kong leaves the rest open. */
	if (order == 0)
		order = memcmp(x->id, y->id, ROUTE_ID_SIZE); /* not secret */
	return order ? order : larger_first(b->position, a->position);
}

unsigned route_category_rank(unsigned category)
{
	return (unsigned)__builtin_popcount(category) * ROUTE_CATEGORIES + category;
}

bool route_host_is_wildcard(struct str host)
{
	return str_find(host, '*', 0) < host.len;
}
