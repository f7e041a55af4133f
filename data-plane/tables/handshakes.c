#include "data-plane/tables/handshakes.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/map.h"
#include "data-plane/tables/consumer.h"
#include "data-plane/tables/entity_type.h"
#include "data-plane/tables/plugin.h"

/* Every handshake; a map takes no empty key. */
static const struct str every = {"\0", 1};

static void free_rule(struct version *v, void *arg)
{
	struct handshake_rule *r = container_of(v, struct handshake_rule, version);

	(void)arg;
	sk_X509_NAME_pop_free(r->authorities, X509_NAME_free);
	free(r);
}

int handshakes_init(struct handshakes *t, struct err *e)
{
	return vmap_init(&t->names, free_rule, NULL, e);
}

void handshakes_deinit(struct handshakes *t)
{
	vmap_deinit(&t->names);
}

static const struct handshake_rule *rule_of(const struct version *v)
{
	return v ? container_of((struct version *)(uintptr_t)v, struct handshake_rule, version)
		 : NULL;
}

const struct handshake_rule *handshakes_find(const struct handshakes *t, uint64_t generation,
					     struct str name)
{
	const struct version *v = NULL;

	if (atomic_load_explicit(&t->names.count, memory_order_relaxed) == 0)
		return NULL;
	if (name.len > 0)
		v = vmap_get(&t->names, name, generation);
	return rule_of(v ? v : vmap_get(&t->names, every, generation));
}

/* --- deriving --- */

/* What is found while going through the plugins: names, each with the authorities to be named. */
struct pass {
	const struct routes *routes;
	const struct entities *entities;
	struct map found; /* name -> STACK_OF(X509_NAME), maybe empty */
	struct err *e;
};

static bool has_name(const STACK_OF(X509_NAME) * names, const X509_NAME *name)
{
	for (int i = 0; i < sk_X509_NAME_num(names); i++)
		if (X509_NAME_cmp(sk_X509_NAME_value(names, i), name) == 0)
			return true;
	return false;
}

static int add_name(STACK_OF(X509_NAME) * to, const X509_NAME *name, struct err *e)
{
	X509_NAME *copy;

	if (has_name(to, name))
		return 0;
	copy = X509_NAME_dup(name);
	if (copy && sk_X509_NAME_push(to, copy) > 0)
		return 0;
	X509_NAME_free(copy);
	return err_memory(e, "names of authorities");
}

static int add_names(STACK_OF(X509_NAME) * to, const STACK_OF(X509_NAME) * from, struct err *e)
{
	for (int i = 0; i < sk_X509_NAME_num(from); i++)
		if (add_name(to, sk_X509_NAME_value(from, i), e) != 0)
			return -1;
	return 0;
}

static STACK_OF(X509_NAME) * names_of(struct pass *p, struct str name)
{
	STACK_OF(X509_NAME) *names = map_get(&p->found, name);

	if (names)
		return names;
	names = sk_X509_NAME_new_null();
	if (!names) {
		err_memory(p->e, "names of authorities");
		return NULL;
	}
	if (map_put(&p->found, name, names, NULL, p->e) == 0)
		return names;
	sk_X509_NAME_free(names);
	return NULL;
}

/* The plugin asks in handshakes for this name. */
static int add(struct pass *p, struct str name, const struct plugin *plugin)
{
	struct plugin_authorities a = {NULL, 0, false};
	STACK_OF(X509_NAME) *names = names_of(p, name);

	if (!names)
		return -1;
	if (plugin->type->authorities)
		a = plugin->type->authorities(plugin->config);
	for (size_t i = 0; a.offered && i < a.count; i++) {
		const struct entity *en = entity_staged(p->entities, ENTITIES_CA_CERTIFICATE,
							a.ids + i * ENTITY_ID_SIZE);

		if (en &&
		    add_name(names,
			     X509_get_subject_name(entity_of(en, struct ca_certificate)->x509),
			     p->e) != 0)
			return -1;
	}
	return 0;
}

static int add_route(struct pass *p, const struct route *r, const struct plugin *plugin)
{
	if (!r)
		return 0;
	for (size_t i = 0; i < r->snis.count; i++) {
		struct str name = r->snis.items[i];

		if (name.len > 1 && name.ptr[name.len - 1] == '.')
			name.len--;
		if (name.len > 0 && add(p, name, plugin) != 0)
			return -1;
	}
	return r->snis.count > 0 ? 0 : add(p, every, plugin);
}

static int add_plugin(struct pass *p, const struct plugin *plugin)
{
	const struct route_list *l;

	if (plugin->route)
		return add_route(p, routes_staged(p->routes, plugin->route), plugin);
	if (!plugin->service)
		return add(p, every, plugin);
	l = routes_staged_of_service(p->routes, plugin->service);
	for (size_t i = 0; l && i < l->count; i++)
		if (add_route(p, l->items[i]->route, plugin) != 0)
			return -1;
	return 0;
}

static int add_kind(struct pass *p, unsigned kind)
{
	const struct entity_list *l = plugin_instances_staged(p->entities, kind);

	for (size_t i = 0; l && i < l->count; i++) {
		const struct plugin *plugin = entity_of(l->items[i], struct plugin);

		if (plugin->type->asks_certificate(plugin->config) && add_plugin(p, plugin) != 0)
			return -1;
	}
	return 0;
}

static int add_all(struct pass *p)
{
	const struct plugin_kind *const *kinds = p->entities->plugin_kinds;

	for (unsigned i = 0; kinds && i < PLUGIN_KINDS_MAX && kinds[i]; i++)
		if (kinds[i]->asks_certificate && add_kind(p, i) != 0)
			return -1;
	return 0;
}

/* --- comparing with what there is --- */

static int digest_names(unsigned char out[HANDSHAKE_DIGEST_SIZE], const STACK_OF(X509_NAME) * names,
			struct err *e)
{
	unsigned char full[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	int ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1;

	for (int i = 0; ok && i < sk_X509_NAME_num(names); i++) {
		const unsigned char *der;
		size_t len;

		ok = X509_NAME_get0_der(sk_X509_NAME_value(names, i), &der, &len) == 1 &&
		     EVP_DigestUpdate(c, der, len) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(c, full, NULL) == 1;
	EVP_MD_CTX_free(c);
	if (!ok)
		return err_openssl(e, ERR_MEMORY, "names of authorities");
	memcpy(out, full, HANDSHAKE_DIGEST_SIZE);
	out[0] |= 1;
	return 0;
}

/* Takes names, also after an error. */
static int stage(struct handshakes *t, struct vmap_txn *x, struct str name,
		 STACK_OF(X509_NAME) * names, struct err *e)
{
	const struct handshake_rule *held;
	struct handshake_rule *r = calloc(1, sizeof(*r));
	struct vmap_entry *entry;

	if (!r) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return err_memory(e, "a rule of handshakes");
	}
	r->authorities = names;
	if (digest_names(r->digest, names, e) != 0 ||
	    vmap_touch(x, &t->names, name, &entry, e) != 0) {
		free_rule(&r->version, NULL);
		return -1;
	}
	if (sk_X509_NAME_num(names) == 0) {
		sk_X509_NAME_free(names);
		r->authorities = NULL;
	}
	held = rule_of(vmap_current(entry));
	if (held && memcmp(held->digest, r->digest, sizeof(r->digest)) == 0) {
		free_rule(&r->version, NULL);
		return 0;
	}
	return vmap_put(x, &t->names, name, &r->version, e);
}

static int stage_all(struct handshakes *t, struct vmap_txn *x, struct pass *p)
{
	const STACK_OF(X509_NAME) *common = map_get(&p->found, every);
	struct str name;
	void *names;
	size_t pos = 0;

	while (common && map_next(&p->found, &pos, &name, &names))
		if (names != common && add_names(names, common, p->e) != 0)
			return -1;
	pos = 0;
	while (map_next(&p->found, &pos, &name, &names)) {
		int rc = stage(t, x, name, names, p->e);

		map_remove(&p->found, name);
		if (rc != 0)
			return -1;
	}
	return vmap_sweep(x, &t->names, p->e);
}

/* Whether the transaction changes what rules are made of. */
static bool concerns(const struct vmap_txn *x, const struct routes *routes,
		     const struct entities *entities)
{
	for (size_t i = 0; i < x->count; i++) {
		const struct vmap *m = x->touched[i].map;

		if (x->touched[i].entry->pending &&
		    (m == &routes->routes || m == &entities->kinds[ENTITIES_PLUGIN] ||
		     m == &entities->kinds[ENTITIES_CA_CERTIFICATE]))
			return true;
	}
	return false;
}

int handshakes_resolve(struct handshakes *t, struct vmap_txn *x, const struct routes *routes,
		       const struct entities *entities, struct err *e)
{
	struct pass p = {.routes = routes, .entities = entities, .e = e};
	struct str name;
	void *names;
	size_t pos = 0;
	int rc;

	if (!concerns(x, routes, entities))
		return 0;
	map_init(&p.found);
	rc = add_all(&p);
	if (rc == 0)
		rc = stage_all(t, x, &p);
	while (map_next(&p.found, &pos, &name, &names))
		sk_X509_NAME_pop_free(names, X509_NAME_free);
	map_deinit(&p.found);
	return rc;
}
