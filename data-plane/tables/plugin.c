#include "data-plane/tables/plugin.h"

#include "common/core/codec.h"
#include "data-plane/tables/entity_type.h"

enum { KEY_KIND = 'k', KEY_SCOPE = 's' };

/* --- protocols --- */

static const char *const protocol_names[] = {"http", "https",		"grpc", "grpcs", "tcp",
					     "tls",  "tls_passthrough", "udp",	"ws",	 "wss"};

int protocols_read(const struct fields *f, unsigned absent, unsigned *out, struct err *e)
{
	struct fields_texts names;
	struct arena memory;
	unsigned bits = 0;
	int rc;

	arena_init(&memory, 0);
	rc = fields_texts(f, "protocols", &memory, &names, e);
	for (size_t i = 0; rc == 0 && i < names.count; i++) {
		unsigned k = 0;

		while (k < array_len(protocol_names) &&
		       !str_eq(names.items[i], str_from(protocol_names[k])))
			k++;
		if (k == array_len(protocol_names))
			rc = err_set(e, ERR_INVALID, "protocols: \"%.*s\" is not known",
				     names.items[i].len > 64 ? 64 : (int)names.items[i].len,
				     names.items[i].ptr);
		bits |= 1U << k;
	}
	arena_deinit(&memory);
	if (rc == 0)
		*out = bits ? bits : absent;
	return rc;
}

static_assert(PROTOCOL_WSS == 1 << (array_len(protocol_names) - 1), "names are in order of bits");

/* --- scopes --- */

enum scope_bit { SCOPE_ROUTE = 1, SCOPE_SERVICE = 2, SCOPE_CONSUMER = 4 };

/* The key of a scope: the plugin's kind, which ids it names, and these. */
struct scope {
	unsigned char kind, named;
	unsigned char ids[3][ENTITY_ID_SIZE];
};

static_assert(sizeof(struct scope) == 2 + 3 * ENTITY_ID_SIZE, "it is compared as bytes");
static_assert(PLUGIN_KINDS_MAX <= 255, "a kind is a byte");

static struct scope scope_of(unsigned kind, const unsigned char *const ids[3], unsigned named)
{
	struct scope s = {.kind = (unsigned char)kind, .named = (unsigned char)named};

	for (unsigned i = 0; i < 3; i++)
		if (named & 1U << i)
			memcpy(s.ids[i], ids[i], ENTITY_ID_SIZE);
	return s;
}

static unsigned named_by(const unsigned char *const ids[3])
{
	unsigned named = 0;

	for (unsigned i = 0; i < 3; i++)
		named |= ids[i] ? 1U << i : 0;
	return named;
}

static struct str scope_str(const struct scope *s)
{
	return (struct str){(const char *)s, sizeof(*s)};
}

/* --- making --- */

static unsigned kind_of(const struct entities *t, struct str name)
{
	unsigned i = 0;

	while (i < PLUGIN_KINDS_MAX && t->plugin_kinds && t->plugin_kinds[i] &&
	       !str_eq(name, str_from(t->plugin_kinds[i]->name)))
		i++;
	return t->plugin_kinds && i < PLUGIN_KINDS_MAX && t->plugin_kinds[i] ? i : PLUGIN_KINDS_MAX;
}

static int configure(struct plugin *p, const struct plugin_kind *kind, const struct fields *f,
		     struct err *e)
{
	void *config = arena_alloc(&p->entity.memory, kind->config_size);

	if (!config)
		return err_memory(e, "storing a plugin");
	p->config = config;
	p->type = kind;
	if (kind->configure &&
	    kind->configure(config, fields_record(f, "config"), &p->entity.memory, e) < 0)
		return err_prefix(e, "%s: config", kind->name);
	return 0;
}

static int add_keys(struct plugin *p, struct err *e)
{
	const unsigned char *const ids[3] = {p->route, p->service, p->consumer};
	const struct scope s = scope_of(p->kind, ids, named_by(ids));
	const char kind = (char)p->kind;

	if (entity_add_key(&p->entity, KEY_KIND, (struct str){&kind, 1}, e) < 0)
		return -1;
	return entity_add_key(&p->entity, KEY_SCOPE, scope_str(&s), e);
}

static int make(struct entity *en, const struct fields *f, const struct entities *t, struct err *e)
{
	struct plugin *p = entity_of(en, struct plugin);
	const unsigned all = PROTOCOL_HTTP | PROTOCOL_HTTPS | PROTOCOL_GRPC | PROTOCOL_GRPCS;
	struct str name = fields_text(f, "name");

	if (!name.len)
		return err_set(e, ERR_INVALID, "name: there is none");
	p->enabled = fields_flag(f, "enabled", true);
	p->kind = kind_of(t, name);
	if (p->kind == PLUGIN_KINDS_MAX)
		return 0;
	if (protocols_read(f, all, &p->protocols, e) < 0 ||
	    entity_id(en, f, "route", &p->route, e) < 0 ||
	    entity_id(en, f, "service", &p->service, e) < 0 ||
	    entity_id(en, f, "consumer", &p->consumer, e) < 0 ||
	    configure(p, t->plugin_kinds[p->kind], f, e) < 0)
		return -1;
	return p->enabled ? add_keys(p, e) : 0;
}

static void drop(struct entity *en)
{
	struct plugin *p = entity_of(en, struct plugin);

	if (p->type && p->type->release)
		p->type->release((void *)(uintptr_t)p->config);
}

/* TLS-10: who is to be trusted is there, or the revision is not for this node. */
static int check(const struct entity *en, const struct entities *t, struct err *e)
{
	const struct plugin *p = entity_of(en, struct plugin);
	struct plugin_authorities a = {NULL, 0, false};

	if (p->enabled && p->type && p->type->authorities)
		a = p->type->authorities(p->config);
	for (size_t i = 0; i < a.count; i++) {
		const unsigned char *id = a.ids + i * ENTITY_ID_SIZE;
		char text[UUID_TEXT_SIZE];

		if (entity_staged(t, ENTITIES_CA_CERTIFICATE, id))
			continue;
		uuid_text(id, text);
		return err_set(e, ERR_INVALID, "%s: config: there is no authority %s",
			       p->type->name, text);
	}
	return 0;
}

const struct entity_type plugin_entities = {
	.size = sizeof(struct plugin), .make = make, .drop = drop, .check = check};

/* --- finding --- */

const struct entity_list *plugin_instances(const struct entities *t, uint64_t generation,
					   unsigned kind)
{
	const char key = (char)kind;

	return entity_by_key(t, generation, ENTITIES_PLUGIN, KEY_KIND, (struct str){&key, 1});
}

const struct entity_list *plugin_instances_staged(const struct entities *t, unsigned kind)
{
	const char key[2] = {KEY_KIND, (char)kind};

	return entities_list_staged(t, ENTITIES_PLUGIN, (struct str){key, sizeof(key)});
}

const struct plugin *plugin_find(const struct entities *t, uint64_t generation, unsigned kind,
				 const unsigned char *route, const unsigned char *service,
				 const unsigned char *consumer)
{
	static const unsigned order[] = {
		SCOPE_ROUTE | SCOPE_SERVICE | SCOPE_CONSUMER,
		SCOPE_ROUTE | SCOPE_CONSUMER,
		SCOPE_SERVICE | SCOPE_CONSUMER,
		SCOPE_ROUTE | SCOPE_SERVICE,
		SCOPE_CONSUMER,
		SCOPE_ROUTE,
		SCOPE_SERVICE,
		0,
	};
	const unsigned char *const ids[3] = {route, service, consumer};
	unsigned have = named_by(ids);

	if (!plugin_instances(t, generation, kind))
		return NULL;
	for (size_t i = 0; i < array_len(order); i++) {
		const struct entity *en;
		struct scope s;

		if ((order[i] & have) != order[i])
			continue;
		s = scope_of(kind, ids, order[i]);
		en = entity_first(t, generation, ENTITIES_PLUGIN, KEY_SCOPE, scope_str(&s));
		if (en)
			return entity_of(en, struct plugin);
	}
	return NULL;
}
