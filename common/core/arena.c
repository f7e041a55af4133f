#include "common/core/arena.h"

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
	*a = (struct arena){NULL, 0, limit};
}

static void free_blocks(struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
}

void arena_deinit(struct arena *a)
{
	free_blocks(a->blocks);
	arena_init(a, a->limit);
}

void arena_reset(struct arena *a)
{
	struct arena_block *keep = a->blocks;

	a->used = 0;
	if (!keep)
		return;
	free_blocks(keep->next);
	keep->next = NULL;
	keep->used = 0;
	if (keep->size > BLOCK_SIZE) {
		free(keep);
		a->blocks = NULL;
	}
}

static struct arena_block *add_block(struct arena *a, size_t need)
{
	size_t size = need > BLOCK_SIZE ? need : (size_t)BLOCK_SIZE;
	struct arena_block *b = malloc(sizeof(*b) + size);

	if (!b)
		return NULL;
	b->next = a->blocks;
	b->size = size;
	b->used = 0;
	a->blocks = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
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
	memset(p, 0, rounded);
	return p;
}

struct str arena_str(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.len + 1);

	if (!copy)
		return STR_NONE;
	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	return (struct str){copy, s.len};
}
