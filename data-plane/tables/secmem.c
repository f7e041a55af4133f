#include "data-plane/tables/secmem.h"

#include <openssl/crypto.h>
#include <string.h>
#include <sys/mman.h>

/* At the beginning of each slab; keeps what follows aligned to SECMEM_STEP. */
struct secmem_slab {
	_Alignas(SECMEM_STEP) struct secmem_slab *next;
};

void secmem_init(struct secmem *s)
{
	memset(s, 0, sizeof(*s));
}

void secmem_deinit(struct secmem *s)
{
	while (s->slabs) {
		struct secmem_slab *slab = s->slabs;

		s->slabs = slab->next;
		OPENSSL_cleanse(slab, SECMEM_SLAB);
		munmap(slab, SECMEM_SLAB);
	}
	secmem_init(s);
}

static int slab_add(struct secmem *s)
{
	struct secmem_slab *slab =
		mmap(NULL, SECMEM_SLAB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (slab == MAP_FAILED)
		return -1;
	if (madvise(slab, SECMEM_SLAB, MADV_DONTDUMP) != 0) {
		munmap(slab, SECMEM_SLAB);
		return -1;
	}
	slab->next = s->slabs;
	s->slabs = slab;
	s->next = (char *)slab + sizeof(*slab);
	s->left = SECMEM_SLAB - sizeof(*slab);
	return 0;
}

void *secmem_alloc(struct secmem *s, size_t n)
{
	size_t step = (n + SECMEM_STEP - 1) / SECMEM_STEP;
	size_t size = step * SECMEM_STEP;
	void *p;

	if (n == 0 || n > SECMEM_MAX)
		return NULL;
	p = s->free_lists[step];
	if (p) {
		memcpy(&s->free_lists[step], p, sizeof(s->free_lists[step]));
	} else {
		/* What is left of the old slab stays unused: at most one key per slab. */
		if (s->left < size && slab_add(s) != 0)
			return NULL;
		p = s->next;
		s->next += size;
		s->left -= size;
	}
	s->used += size;
	return p;
}

void secmem_free(struct secmem *s, void *p, size_t n)
{
	size_t step = (n + SECMEM_STEP - 1) / SECMEM_STEP;

	if (!p)
		return;
	OPENSSL_cleanse(p, n);
	s->used -= step * SECMEM_STEP;
	memcpy(p, &s->free_lists[step], sizeof(void *));
	s->free_lists[step] = p;
}
