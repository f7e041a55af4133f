#include "data-plane/tables/tickets.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct secret {
	struct version version;
	struct ticket_secret *kept; /* in secmem */
};

static struct secret *secret_of(const struct version *v)
{
	return v ? container_of((struct version *)(uintptr_t)v, struct secret, version) : NULL;
}

static struct str id_str(const unsigned char id[TICKET_ID_SIZE])
{
	return (struct str){(const char *)id, TICKET_ID_SIZE};
}

static void free_secret(struct version *v, void *arg)
{
	struct tickets *t = arg;
	struct secret *s = secret_of(v);

	secmem_free(&t->keys, s->kept, sizeof(*s->kept));
	free(s);
}

int tickets_init(struct tickets *t, struct err *e)
{
	memset(t, 0, sizeof(*t));
	secmem_init(&t->keys);
	return vmap_init(&t->secrets, free_secret, t, e);
}

void tickets_deinit(struct tickets *t)
{
	vmap_deinit(&t->secrets);
	secmem_deinit(&t->keys);
}

struct copy {
	struct ticket_secret *out;
	size_t count;
};

/* Insertion sort: there are a handful. */
static bool copy_one(struct str key, const struct version *v, void *arg)
{
	const struct secret *s = secret_of(v);
	struct copy *c = arg;
	size_t at = c->count;

	(void)key;
	if (c->count == TICKET_SECRETS_MAX)
		return false;
	for (; at > 0 && c->out[at - 1].not_before < s->kept->not_before; at--)
		c->out[at] = c->out[at - 1];
	c->out[at] = *s->kept;
	c->count++;
	return true;
}

size_t tickets_copy(const struct tickets *t, uint64_t generation,
		    struct ticket_secret out[TICKET_SECRETS_MAX])
{
	struct copy c = {out, 0};

	vmap_each(&t->secrets, generation, copy_one, &c);
	return c.count;
}

int tickets_put(struct tickets *t, struct vmap_txn *x, const unsigned char id[TICKET_ID_SIZE],
		struct str secret, int64_t not_before, struct err *e)
{
	struct vmap_entry *entry;
	const struct secret *now;
	struct secret *s;

	if (secret.len != TICKET_SECRET_SIZE)
		return err_set(e, ERR_INVALID, "secret of %zu bytes: %d are needed", secret.len,
			       TICKET_SECRET_SIZE);
	if (vmap_touch(x, &t->secrets, id_str(id), &entry, e) != 0)
		return -1;
	now = secret_of(vmap_current(entry));
	if (!entry->pending && now && now->kept->not_before == not_before &&
	    CRYPTO_memcmp(now->kept->bytes, secret.ptr, secret.len) == 0)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_memory(e, "storing a ticket secret");
	s->kept = secmem_alloc(&t->keys, sizeof(*s->kept));
	if (!s->kept) {
		free(s);
		return err_memory(e, "storing a ticket secret");
	}
	s->kept->not_before = not_before;
	memcpy(s->kept->bytes, secret.ptr, secret.len);
	return vmap_put(x, &t->secrets, id_str(id), &s->version, e);
}

int tickets_remove(struct tickets *t, struct vmap_txn *x, const unsigned char id[TICKET_ID_SIZE],
		   struct err *e)
{
	return vmap_remove(x, &t->secrets, id_str(id), e);
}

int tickets_sweep(struct tickets *t, struct vmap_txn *x, struct err *e)
{
	return vmap_sweep(x, &t->secrets, e);
}

int tickets_resolve(struct tickets *t, struct vmap_txn *x, unsigned char culprit[TICKET_ID_SIZE],
		    struct err *e)
{
	size_t count = atomic_load(&t->secrets.count);
	const struct vmap_entry *added = NULL;

	for (size_t i = 0; i < x->count; i++) {
		const struct vmap_entry *entry = x->touched[i].entry;

		if (x->touched[i].map != &t->secrets)
			continue;
		if (vmap_staged(entry) && !vmap_current(entry)) {
			added = entry;
			count++;
		} else if (!vmap_staged(entry) && vmap_current(entry)) {
			count--;
		}
	}
	if (!added || count <= TICKET_SECRETS_MAX)
		return 0;
	memcpy(culprit, added->key, TICKET_ID_SIZE);
	return err_set(e, ERR_LIMIT, "%zu ticket secrets: at most %d", count, TICKET_SECRETS_MAX);
}
