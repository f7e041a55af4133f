/* A batch of statements: its memory. */
#include <stdlib.h>

#include "control-plane/store/pg.h"

void pg_batch_init(struct pg_batch *b)
{
	*b = (struct pg_batch){.count = 0};
	list_init(&b->link);
	arena_init(&b->arena, 0);
}

void pg_batch_deinit(struct pg_batch *b)
{
	free(b->statements);
	b->statements = NULL;
	b->count = 0;
	b->cap = 0;
	arena_deinit(&b->arena);
}

static int grow(struct pg_batch *b, struct err *e)
{
	size_t cap = b->cap ? b->cap * 2 : 8;
	struct pg_statement *bigger;

	if (b->count < b->cap)
		return 0;
	bigger = realloc(b->statements, cap * sizeof(*bigger));
	if (!bigger)
		return err_memory(e, "statements");
	b->statements = bigger;
	b->cap = cap;
	return 0;
}

int pg_batch_add(struct pg_batch *b, const char *sql, const char *const *params, size_t n,
		 struct err *e)
{
	struct pg_statement s = {.n = n};

	if (grow(b, e) < 0)
		return -1;
	s.sql = arena_str(&b->arena, str_from(sql)).ptr;
	s.params = arena_alloc(&b->arena, (n + 1) * sizeof(*s.params));
	if (!s.sql || !s.params)
		return err_memory(e, "statement");
	for (size_t i = 0; i < n; i++) {
		if (!params[i])
			continue;
		s.params[i] = arena_str(&b->arena, str_from(params[i])).ptr;
		if (!s.params[i])
			return err_memory(e, "statement");
	}
	b->statements[b->count++] = s;
	return 0;
}
