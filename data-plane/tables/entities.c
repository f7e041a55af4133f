#include "data-plane/tables/entities.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "data-plane/tables/entity_type.h"

/* Bytes of an arena's block: most entities are smaller than the usual one. */
enum { BLOCK_SIZE = 512, FIRST_ITEMS = 4 };

static const struct entity_type *const types[ENTITIES_KINDS] = {
	[ENTITIES_SERVICE] = &service_entities,
	[ENTITIES_UPSTREAM] = &upstream_entities,
	[ENTITIES_TARGET] = &target_entities,
	[ENTITIES_CONSUMER] = &consumer_entities,
	[ENTITIES_PLUGIN] = &plugin_entities,
	[ENTITIES_CA_CERTIFICATE] = &ca_certificate_entities,
	[ENTITIES_MTLS_CREDENTIAL] = &cert_credential_entities,
	[ENTITIES_HEADER_CREDENTIAL] = &cert_credential_entities,
};

static struct str id_str(const unsigned char id[ENTITY_ID_SIZE])
{
	return (struct str){(const char *)id, ENTITY_ID_SIZE};
}

static struct entity *entity_at(const struct version *v)
{
	return v ? container_of((struct version *)(uintptr_t)v, struct entity, version) : NULL;
}

static const struct entity_list *list_at(const struct version *v)
{
	return v ? container_of((struct version *)(uintptr_t)v, struct entity_list, version) : NULL;
}

static void entity_free(const struct entity_type *type, struct entity *en)
{
	if (type->drop)
		type->drop(en);
	arena_deinit(&en->memory);
	OPENSSL_cleanse(en, type->size);
	free(en);
}

static void free_entity(struct version *v, void *arg)
{
	entity_free(arg, entity_at(v));
}

static void free_list(struct version *v, void *arg)
{
	(void)arg;
	free(v); /* version is its first member */
}

static_assert(offsetof(struct entity_list, version) == 0 && offsetof(struct entity, version) == 0,
	      "values begin with their version");

int entities_init(struct entities *t, const struct plugin_kind *const *plugin_kinds, struct err *e)
{
	memset(t, 0, sizeof(*t));
	t->plugin_kinds = plugin_kinds;
	for (size_t i = 0; i < ENTITIES_KINDS; i++) {
		void *type = (void *)(uintptr_t)types[i];

		if (vmap_init(&t->kinds[i], free_entity, type, e) == 0)
			continue;
		entities_deinit(t);
		return -1;
	}
	if (vmap_init(&t->index, free_list, NULL, e) == 0)
		return 0;
	entities_deinit(t);
	return -1;
}

void entities_deinit(struct entities *t)
{
	vmap_deinit(&t->index);
	for (size_t i = 0; i < ENTITIES_KINDS; i++)
		vmap_deinit(&t->kinds[i]);
}

/* --- reading --- */

const struct entity *entities_find(const struct entities *t, uint64_t generation,
				   enum entities_kind kind, const unsigned char id[ENTITY_ID_SIZE])
{
	return entity_at(vmap_get(&t->kinds[kind], id_str(id), generation));
}

/* What a key of the index is put together in. */
struct index_key {
	size_t len;
	char bytes[2 + ENTITY_TEXT_MAX];
};

static_assert((int)VMAP_KEY_MAX >= 2 + (int)ENTITY_TEXT_MAX, "a text is a key");

static bool index_key_make(struct index_key *k, enum entities_kind kind, struct str key)
{
	if (key.len > sizeof(k->bytes) - 1)
		return false;
	k->bytes[0] = (char)kind;
	if (key.len)
		memcpy(k->bytes + 1, key.ptr, key.len);
	k->len = 1 + key.len;
	return true;
}

const struct entity_list *entities_list(const struct entities *t, uint64_t generation,
					enum entities_kind kind, struct str key)
{
	struct index_key k;

	if (!index_key_make(&k, kind, key))
		return NULL;
	return list_at(vmap_get(&t->index, (struct str){k.bytes, k.len}, generation));
}

const struct entity_list *entities_list_staged(const struct entities *t, enum entities_kind kind,
					       struct str key)
{
	struct index_key k;

	if (!index_key_make(&k, kind, key))
		return NULL;
	return list_at(vmap_staged(vmap_find(&t->index, (struct str){k.bytes, k.len})));
}

/* --- staging --- */

/* NULL: e says why. */
static struct entity *make(const struct entities *t, enum entities_kind kind,
			   const unsigned char id[ENTITY_ID_SIZE], const struct fields *f,
			   struct str payload, struct err *e)
{
	const struct entity_type *type = types[kind];
	struct entity *en = calloc(1, type->size);

	if (!en) {
		(void)err_memory(e, "storing an entity");
		return NULL;
	}
	arena_init(&en->memory, 0);
	en->memory.block = BLOCK_SIZE;
	en->memory.secret = true;
	memcpy(en->id, id, ENTITY_ID_SIZE);
	en->payload = arena_str(&en->memory, payload);
	if (!en->payload.ptr)
		(void)err_memory(e, "storing an entity");
	else if (type->make(en, f, t, e) == 0)
		return en;
	entity_free(type, en);
	return NULL;
}

int entities_put(struct entities *t, struct vmap_txn *x, enum entities_kind kind,
		 const unsigned char id[ENTITY_ID_SIZE], const struct fields *f, struct str payload,
		 struct err *e)
{
	const struct entity *held;
	struct vmap_entry *entry;
	struct entity *en;

	if (vmap_touch(x, &t->kinds[kind], id_str(id), &entry, e) < 0)
		return -1;
	held = entity_at(vmap_current(entry));
	if (!entry->pending && held && str_eq(held->payload, payload))
		return 0;
	en = make(t, kind, id, f, payload, e);
	return en ? vmap_put(x, &t->kinds[kind], id_str(id), &en->version, e) : -1;
}

int entities_remove(struct entities *t, struct vmap_txn *x, enum entities_kind kind,
		    const unsigned char id[ENTITY_ID_SIZE], struct err *e)
{
	return vmap_remove(x, &t->kinds[kind], id_str(id), e);
}

int entities_sweep(struct entities *t, struct vmap_txn *x, struct err *e)
{
	for (size_t i = 0; i < ENTITIES_KINDS; i++)
		if (vmap_sweep(x, &t->kinds[i], e) < 0)
			return -1;
	return 0;
}

/* --- deriving the index ---
 *
 * Entities that go are marked first, so that the copy of a list leaves them out all at once; those
 * that come are appended; at the end the appended part is sorted and merged. A list is copied once
 * and each entity costs its logarithm, also when a revision brings a hundred thousand of a list. */

struct pass {
	struct entities *t;
	struct vmap_txn *x;
	size_t staged; /* what was touched before the index was */
	struct err *e;
};

static int by_id(const void *a, const void *b)
{
	const struct entity *const *x = a, *const *y = b;

	return memcmp((*x)->id, (*y)->id, ENTITY_ID_SIZE); /* not secret */
}

static struct entity_list *list_alloc(size_t cap, struct err *e)
{
	struct entity_list *l = calloc(1, sizeof(*l) + cap * sizeof(l->items[0]));

	if (l)
		l->cap = cap;
	else
		(void)err_memory(e, "indexing an entity");
	return l;
}

/* A copy without those that go, with room for more. */
static struct entity_list *list_copy(const struct pass *p, const struct entity_list *from)
{
	size_t n = from ? from->count : 0;
	struct entity_list *l = list_alloc(n + n / 2 + FIRST_ITEMS, p->e);

	if (!l)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (from->items[i]->leaving != p->t->passes)
			l->items[l->count++] = from->items[i];
	l->sorted = from && from->sorted < n ? from->sorted : l->count;
	return l;
}

/* This transaction's version of the list, with room for one more; NULL: p->e says why. */
static struct entity_list *own_list(const struct pass *p, enum entities_kind kind, struct str text)
{
	struct vmap_entry *entry;
	struct entity_list *held, *l;
	struct index_key k;
	struct str key;

	if (!index_key_make(&k, kind, text)) {
		(void)err_set(p->e, ERR_INVALID, "a key of %zu bytes", text.len);
		return NULL;
	}
	key = (struct str){k.bytes, k.len};
	entry = vmap_find(&p->t->index, key);
	held = (struct entity_list *)(uintptr_t)list_at(vmap_staged(entry));
	if (held && entry->pending && held->count < held->cap)
		return held;
	l = list_copy(p, held);
	return l && vmap_put(p->x, &p->t->index, key, &l->version, p->e) == 0 ? l : NULL;
}

static int index_entity(const struct pass *p, enum entities_kind kind, const struct entity *en,
			bool add)
{
	for (size_t i = 0; en && i < en->key_count; i++) {
		struct entity_list *l = own_list(p, kind, en->keys[i]);

		if (!l)
			return -1;
		if (add)
			l->items[l->count++] = en;
	}
	return 0;
}

/* Behind its sorted part come those that were appended. */
static int list_merge(struct entity_list *l, struct err *e)
{
	size_t a = l->sorted, b = l->count - l->sorted, at = l->count;
	const struct entity **tail;

	qsort(l->items + a, b, sizeof(l->items[0]), by_id);
	if (a == 0 || b == 0 || by_id(&l->items[a - 1], &l->items[a]) < 0) {
		l->sorted = l->count;
		return 0;
	}
	tail = malloc(b * sizeof(*tail));
	if (!tail)
		return err_memory(e, "indexing an entity");
	memcpy(tail, l->items + a, b * sizeof(*tail));
	while (b > 0) {
		bool left = a > 0 && by_id(&l->items[a - 1], &tail[b - 1]) > 0;

		l->items[--at] = left ? l->items[--a] : tail[--b];
	}
	free(tail);
	l->sorted = l->count;
	return 0;
}

static int finish_lists(const struct pass *p)
{
	size_t end = p->x->count;

	for (size_t i = p->staged; i < end; i++) {
		struct vmap_entry *entry = p->x->touched[i].entry;
		struct entity_list *l =
			(struct entity_list *)(uintptr_t)list_at(vmap_staged(entry));

		if (p->x->touched[i].map != &p->t->index || !entry->pending || !l)
			continue;
		if (l->count == 0 ? vmap_remove(p->x, &p->t->index,
						(struct str){entry->key, entry->key_len}, p->e) < 0
				  : list_merge(l, p->e) < 0)
			return -1;
	}
	return 0;
}

/* The kind of what was touched and will change, or ENTITIES_KINDS. */
static enum entities_kind changed_kind(const struct pass *p, size_t i)
{
	const struct vmap *m = p->x->touched[i].map;
	unsigned kind = 0;

	if (!p->x->touched[i].entry->pending)
		return ENTITIES_KINDS;
	while (kind < ENTITIES_KINDS && m != &p->t->kinds[kind])
		kind++;
	return (enum entities_kind)kind;
}

const struct entity *entity_staged(const struct entities *t, enum entities_kind kind,
				   const unsigned char id[ENTITY_ID_SIZE])
{
	return entity_at(vmap_staged(vmap_find(&t->kinds[kind], id_str(id))));
}

static int take_entity(const struct pass *p, enum entities_kind kind, const struct entity *en,
		       bool add)
{
	if (add && en && types[kind]->check && types[kind]->check(en, p->t, p->e) < 0)
		return -1;
	return index_entity(p, kind, en, add);
}

int entities_resolve(struct entities *t, struct vmap_txn *x, enum entities_kind *kind,
		     unsigned char culprit[ENTITY_ID_SIZE], struct err *e)
{
	const struct pass p = {t, x, x->count, e};

	t->passes++;
	for (size_t i = 0; i < p.staged; i++) {
		struct entity *en = entity_at(vmap_current(x->touched[i].entry));

		if (changed_kind(&p, i) != ENTITIES_KINDS && en)
			en->leaving = t->passes;
	}
	for (int add = 0; add < 2; add++) {
		for (size_t i = 0; i < p.staged; i++) {
			struct vmap_entry *entry = x->touched[i].entry;
			enum entities_kind k = changed_kind(&p, i);
			struct version *v = add ? vmap_staged(entry) : vmap_current(entry);

			if (k == ENTITIES_KINDS || take_entity(&p, k, entity_at(v), add) == 0)
				continue;
			*kind = k;
			memcpy(culprit, entry->key, ENTITY_ID_SIZE);
			return -1;
		}
	}
	*kind = ENTITIES_KINDS; /* no single one */
	return finish_lists(&p);
}
