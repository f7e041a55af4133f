#include "data-plane/tables/entities.h"

#include <openssl/crypto.h>
#include <stdlib.h>

static struct str id_str(const unsigned char id[ENTITY_ID_SIZE])
{
	return (struct str){(const char *)id, ENTITY_ID_SIZE};
}

static const struct entity_bytes *bytes_of(const struct version *v)
{
	return v ? container_of((struct version *)(uintptr_t)v, struct entity_bytes, version)
		 : NULL;
}

static void free_bytes(struct version *v, void *arg)
{
	struct entity_bytes *b = container_of(v, struct entity_bytes, version);

	(void)arg;
	OPENSSL_cleanse(b->bytes, b->len);
	free(b);
}

int entities_init(struct entities *t, struct err *e)
{
	memset(t, 0, sizeof(*t));
	for (size_t i = 0; i < ENTITIES_KINDS; i++) {
		if (vmap_init(&t->kinds[i], free_bytes, NULL, e) == 0)
			continue;
		entities_deinit(t);
		return -1;
	}
	return 0;
}

void entities_deinit(struct entities *t)
{
	for (size_t i = 0; i < ENTITIES_KINDS; i++)
		vmap_deinit(&t->kinds[i]);
}

const struct entity_bytes *entities_find(const struct entities *t, uint64_t generation,
					 enum entities_kind kind,
					 const unsigned char id[ENTITY_ID_SIZE])
{
	return bytes_of(vmap_get(&t->kinds[kind], id_str(id), generation));
}

int entities_put(struct entities *t, struct vmap_txn *x, enum entities_kind kind,
		 const unsigned char id[ENTITY_ID_SIZE], struct str bytes, struct err *e)
{
	const struct entity_bytes *held;
	struct vmap_entry *entry;
	struct entity_bytes *b;

	if (vmap_touch(x, &t->kinds[kind], id_str(id), &entry, e) < 0)
		return -1;
	held = bytes_of(vmap_current(entry));
	if (!entry->pending && held && str_eq((struct str){held->bytes, held->len}, bytes))
		return 0;
	b = calloc(1, sizeof(*b) + bytes.len);
	if (!b)
		return err_memory(e, "storing an entity");
	b->len = bytes.len;
	if (bytes.len)
		memcpy(b->bytes, bytes.ptr, bytes.len);
	return vmap_put(x, &t->kinds[kind], id_str(id), &b->version, e);
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
