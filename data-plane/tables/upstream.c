#include "data-plane/tables/upstream.h"

#include "data-plane/tables/entity_type.h"

/* As the control plane's model has them. */
enum {
	SLOTS_MIN = 10,
	SLOTS_MAX = 65536,
	SLOTS_DEFAULT = 10000,
	WEIGHT_MAX = 65535,
	WEIGHT_DEFAULT = 100,
	COUNT_MAX = 255,
	SECONDS_MAX = 65535,
	PERCENT = 100,
	STATUS_MIN = 100,
	STATUS_MAX = 999,
	STATUSES_MAX = 900, /* more than there are */
	CONCURRENCY_DEFAULT = 10,
	PORT_MAX = 65535,
};
static const int64_t concurrency_max = 2147483648;

enum { KEY_NAME = 'n', KEY_PARENT = 'u' };

/* --- what is hashed --- */

static const char *const algorithms[] = {"round-robin", "least-connections", "consistent-hashing",
					 "latency", NULL};
static const char *const sources[] = {"none", "consumer",  "ip",	  "header", "cookie",
				      "path", "query_arg", "uri_capture", NULL};

static_assert(array_len(algorithms) == ALGORITHMS + 1, "each has its name");
static_assert(array_len(sources) == HASH_SOURCES + 1, "each has its name");

/* Where the name of a source stands: of the first hash, and of the fallback. */
static const char *const name_fields[HASH_SOURCES][2] = {
	[HASH_HEADER] = {"hash_on_header", "hash_fallback_header"},
	[HASH_COOKIE] = {"hash_on_cookie", "hash_on_cookie"},
	[HASH_QUERY_ARG] = {"hash_on_query_arg", "hash_fallback_query_arg"},
	[HASH_URI_CAPTURE] = {"hash_on_uri_capture", "hash_fallback_uri_capture"},
};

static int make_hash(struct entity *en, const struct fields *f, bool fallback,
		     struct hash_input *out, struct err *e)
{
	unsigned source;
	const char *name;

	if (entity_choice(f, fallback ? "hash_fallback" : "hash_on", sources, HASH_NONE, &source,
			  e) < 0)
		return -1;
	out->source = (enum hash_source)source;
	name = name_fields[source][fallback];
	if (!name)
		return 0;
	if (entity_text(en, f, name, false, &out->name, e) < 0)
		return -1;
	return out->name.ptr ? 0 : err_set(e, ERR_INVALID, "%s: there is none", name);
}

/* --- checks --- */

static const char *const check_types[] = {"tcp", "http", "https", "grpc", "grpcs", NULL};

static_assert(array_len(check_types) == CHECK_TYPES + 1, "each has its name");

static const uint16_t active_healthy[] = {200, 302};
static const uint16_t active_unhealthy[] = {429, 404, 500, 501, 502, 503, 504, 505};
static const uint16_t passive_healthy[] = {200, 201, 202, 203, 204, 205, 206, 207, 208, 226,
					   300, 301, 302, 303, 304, 305, 306, 307, 308};
static const uint16_t passive_unhealthy[] = {429, 500, 503};

static int make_statuses(struct entity *en, const struct fields *f, struct check_rule *out,
			 struct err *e)
{
	struct fields_integers list;
	uint16_t *statuses;

	if (fields_integers(f, "http_statuses", &en->memory, &list, e) < 0)
		return -1;
	if (!list.items)
		return 0;
	if (list.count > STATUSES_MAX)
		return err_set(e, ERR_INVALID, "http_statuses: %zu, at most %d are allowed",
			       list.count, STATUSES_MAX);
	statuses = arena_alloc(&en->memory, list.count * sizeof(*statuses));
	if (!statuses)
		return err_memory(e, "storing an upstream");
	for (size_t i = 0; i < list.count; i++) {
		if (list.items[i] < STATUS_MIN || list.items[i] > STATUS_MAX)
			return err_set(e, ERR_INVALID, "http_statuses: %lld is none",
				       (long long)list.items[i]);
		statuses[i] = (uint16_t)list.items[i];
	}
	out->statuses = statuses;
	out->status_count = list.count;
	return 0;
}

static int make_counter(const struct fields *f, const char *name, unsigned *out, struct err *e)
{
	int64_t n;

	if (entity_integer(f, name, 0, 0, COUNT_MAX, &n, e) < 0)
		return -1;
	*out = (unsigned)n;
	return 0;
}

/* statuses: what Kong takes when there is no list; an empty list is one. */
static int make_rule(struct entity *en, const struct fields *f, const char *name,
		     const uint16_t *statuses, size_t status_count, struct check_rule *out,
		     struct err *e)
{
	const struct fields *rule = fields_record(f, name);

	if (!fields_has(rule, "http_statuses")) {
		out->statuses = statuses;
		out->status_count = status_count;
	}
	if (entity_number(rule, "interval", 0, SECONDS_MAX, &out->interval, e) < 0 ||
	    make_counter(rule, "successes", &out->successes, e) < 0 ||
	    make_counter(rule, "tcp_failures", &out->tcp_failures, e) < 0 ||
	    make_counter(rule, "timeouts", &out->timeouts, e) < 0 ||
	    make_counter(rule, "http_failures", &out->http_failures, e) < 0 ||
	    make_statuses(en, rule, out, e) < 0)
		return err_prefix(e, "%s", name);
	return 0;
}

static int make_headers(struct entity *en, const struct fields *map, struct health_checks *c,
			struct err *e)
{
	size_t n = fields_count(map);
	struct entity_field *out;

	if (n == 0)
		return 0;
	out = arena_alloc(&en->memory, n * sizeof(*out));
	if (!out)
		return err_memory(e, "storing an upstream");
	for (size_t i = 0; i < n; i++)
		if (entity_values(en, map, i, &out[i], e) < 0)
			return err_prefix(e, "headers");
	c->active.headers = out;
	c->active.header_count = n;
	return 0;
}

static int make_active(struct entity *en, const struct fields *f, struct health_checks *c,
		       struct err *e)
{
	unsigned type;

	if (entity_choice(f, "type", check_types, CHECK_HTTP, &type, e) < 0 ||
	    entity_number(f, "timeout", 1, SECONDS_MAX, &c->active.timeout, e) < 0 ||
	    entity_integer(f, "concurrency", CONCURRENCY_DEFAULT, 1, concurrency_max,
			   &c->active.concurrency, e) < 0 ||
	    entity_text(en, f, "http_path", false, &c->active.path, e) < 0 ||
	    entity_text(en, f, "https_sni", true, &c->active.sni, e) < 0 ||
	    make_headers(en, fields_record(f, "headers"), c, e) < 0 ||
	    make_rule(en, f, "healthy", active_healthy, array_len(active_healthy),
		      &c->active.healthy, e) < 0 ||
	    make_rule(en, f, "unhealthy", active_unhealthy, array_len(active_unhealthy),
		      &c->active.unhealthy, e) < 0)
		return err_prefix(e, "active");
	c->active.type = (enum check_type)type;
	c->active.verify = fields_flag(f, "https_verify_certificate", true);
	if (!c->active.path.ptr)
		c->active.path = STR("/");
	return c->active.path.ptr[0] == '/'
		       ? 0
		       : err_set(e, ERR_INVALID, "active: http_path: it begins with /");
}

static int make_passive(struct entity *en, const struct fields *f, struct health_checks *c,
			struct err *e)
{
	unsigned type;

	if (entity_choice(f, "type", check_types, CHECK_HTTP, &type, e) < 0 ||
	    make_rule(en, f, "healthy", passive_healthy, array_len(passive_healthy),
		      &c->passive.healthy, e) < 0 ||
	    make_rule(en, f, "unhealthy", passive_unhealthy, array_len(passive_unhealthy),
		      &c->passive.unhealthy, e) < 0)
		return err_prefix(e, "passive");
	c->passive.type = (enum check_type)type;
	return 0;
}

static int make_checks(struct entity *en, const struct fields *f, struct health_checks *c,
		       struct err *e)
{
	if (entity_number(f, "threshold", 0, PERCENT, &c->threshold, e) < 0 ||
	    make_active(en, fields_record(f, "active"), c, e) < 0 ||
	    make_passive(en, fields_record(f, "passive"), c, e) < 0)
		return err_prefix(e, "healthchecks");
	c->panic = fields_flag(f, "panic", false);
	return 0;
}

/* --- upstreams --- */

static int make_upstream(struct entity *en, const struct fields *f, const struct entities *t,
			 struct err *e)
{
	struct upstream *u = entity_of(en, struct upstream);
	unsigned algorithm;
	int64_t slots;

	(void)t;
	if (entity_text(en, f, "name", true, &u->name, e) < 0 ||
	    entity_choice(f, "algorithm", algorithms, ALGORITHM_ROUND_ROBIN, &algorithm, e) < 0 ||
	    make_hash(en, f, false, &u->hash, e) < 0 ||
	    make_hash(en, f, true, &u->fallback, e) < 0 ||
	    entity_text(en, f, "hash_on_cookie_path", false, &u->hash_cookie_path, e) < 0 ||
	    entity_integer(f, "slots", SLOTS_DEFAULT, SLOTS_MIN, SLOTS_MAX, &slots, e) < 0 ||
	    make_checks(en, fields_record(f, "healthchecks"), &u->checks, e) < 0 ||
	    entity_text(en, f, "host_header", false, &u->host_header, e) < 0 ||
	    entity_id(en, f, "client_certificate", &u->client_certificate, e) < 0)
		return -1;
	if (!u->name.ptr)
		return err_set(e, ERR_INVALID, "name: there is none");
	if (!u->hash_cookie_path.ptr)
		u->hash_cookie_path = STR("/");
	u->algorithm = (enum upstream_algorithm)algorithm;
	u->slots = (unsigned)slots;
	u->use_srv_name = fields_flag(f, "use_srv_name", false);
	return entity_add_key(en, KEY_NAME, u->name, e);
}

const struct entity_type upstream_entities = {.size = sizeof(struct upstream),
					      .make = make_upstream};

const struct upstream *upstream_find(const struct entities *t, uint64_t generation,
				     const unsigned char id[ENTITY_ID_SIZE])
{
	const struct entity *en = entities_find(t, generation, ENTITIES_UPSTREAM, id);

	return en ? entity_of(en, struct upstream) : NULL;
}

const struct upstream *upstream_by_name(const struct entities *t, uint64_t generation,
					struct str name)
{
	const struct entity *en = entity_first(t, generation, ENTITIES_UPSTREAM, KEY_NAME, name);

	return en ? entity_of(en, struct upstream) : NULL;
}

/* --- targets --- */

/* "name:8000", "10.0.0.1:80" or "[2001:db8::1]:80", as the control plane keeps them. */
static int split_target(struct target *t, struct str text, struct err *e)
{
	size_t colon = text.len;
	uint64_t port;

	while (colon > 0 && text.ptr[colon - 1] != ':')
		colon--;
	if (colon < 2 || str_u64(str_sub(text, colon, text.len), &port) < 0 || port > PORT_MAX)
		return err_set(e, ERR_INVALID, "target: it is host:port");
	t->port = (uint16_t)port;
	t->host = str_sub(text, 0, colon - 1);
	if (t->host.ptr[0] == '[') {
		if (t->host.len < 3 || t->host.ptr[t->host.len - 1] != ']')
			return err_set(e, ERR_INVALID, "target: it has no closing bracket");
		t->host = str_sub(t->host, 1, t->host.len - 1);
	} else if (str_find(t->host, ':', 0) < t->host.len) {
		return err_set(e, ERR_INVALID, "target: an IPv6 address stands in brackets");
	}
	return 0;
}

static int make_target(struct entity *en, const struct fields *f, const struct entities *tables,
		       struct err *e)
{
	struct target *t = entity_of(en, struct target);
	const unsigned char *upstream = fields_id(f, "upstream");
	struct str text;
	int64_t weight;

	(void)tables;
	if (entity_text(en, f, "target", true, &text, e) < 0 || split_target(t, text, e) < 0 ||
	    entity_integer(f, "weight", WEIGHT_DEFAULT, 0, WEIGHT_MAX, &weight, e) < 0)
		return -1;
	if (!upstream)
		return err_set(e, ERR_INVALID, "upstream: there is none");
	memcpy(t->upstream, upstream, ENTITY_ID_SIZE);
	t->weight = (unsigned)weight;
	t->created_at = fields_number(f, "created_at", 0);
	return entity_add_key(en, KEY_PARENT, (struct str){(char *)t->upstream, ENTITY_ID_SIZE}, e);
}

const struct entity_type target_entities = {.size = sizeof(struct target), .make = make_target};

const struct entity_list *upstream_targets(const struct entities *t, uint64_t generation,
					   const unsigned char id[ENTITY_ID_SIZE])
{
	const struct str parent = {(const char *)id, ENTITY_ID_SIZE};

	return entity_by_key(t, generation, ENTITIES_TARGET, KEY_PARENT, parent);
}
