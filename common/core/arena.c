#include "common/core/arena.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 4096, ALIGN = 16 };

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	_Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){.limit = limit};
}

static void free_block(const struct arena *a, struct arena_block *b)
{
	if (a->secret)
		OPENSSL_cleanse(b->data, b->used);
	free(b);
}

static void free_blocks(const struct arena *a, struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;

		free_block(a, b);
		b = next;
	}
}

void arena_deinit(struct arena *a)
{
	free_blocks(a, a->blocks);
	a->blocks = NULL;
	a->used = 0;
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->blocks;

	a->used = 0;
	if (!keep)
		return;
	free_blocks(a, keep->next);
	keep->next = NULL;
	if (keep->size > BLOCK_SIZE) {
		free_block(a, keep);
		a->blocks = NULL;
		return;
	}
	if (a->secret)
		OPENSSL_cleanse(keep->data, keep->used);
	keep->used = 0;
}

static struct arena_block *add_block(struct arena *a, size_t need)
{
	size_t least = a->block ? a->block : (size_t)BLOCK_SIZE;
	size_t size = need > least ? need : least;
	struct arena_block *b = malloc(sizeof(*b) + size);

	if (!b)
		return NULL;
	b->next = a->blocks;
	b->size = size;
	b->used = 0;
	a->blocks = b;
	return b;
}

void *arena_raw(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	size_t rounded;
	void *p;

	if (n > SIZE_MAX / 2)
		return NULL;
	rounded = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (a->limit && (rounded > a->limit || a->used > a->limit - rounded))
		return NULL;
	if (!b || b->size - b->used < rounded)
		b = add_block(a, rounded);
	if (!b)
		return NULL;
	p = b->data + b->used;
	b->used += rounded;
	a->used += rounded;
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	void *p = arena_raw(a, n);

	return p ? memset(p, 0, n) : NULL;
}

struct str arena_str(struct arena *a, struct str s)
{
	char *copy = s.len < SIZE_MAX ? arena_raw(a, s.len + 1) : NULL;

	if (!copy)
		return STR_NONE;
	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return (struct str){copy, s.len};
}
