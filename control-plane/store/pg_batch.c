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

/* A statement whose parameters are still to be filled in; it counts when b->count does. */
static struct pg_statement *prepare(struct pg_batch *b, const char *sql, size_t n, struct err *e)
{
	struct pg_statement *s;

	if (grow(b, e) < 0)
		return NULL;
	s = &b->statements[b->count];
	*s = (struct pg_statement){.n = n, .bytes = strlen(sql)};
	s->sql = arena_str(&b->arena, str_from(sql)).ptr;
	s->params = arena_alloc(&b->arena, (n + 1) * sizeof(*s->params));
	if (s->sql && s->params)
		return s;
	err_memory(e, "statement");
	return NULL;
}

int pg_batch_add(struct pg_batch *b, const char *sql, const char *const *params, size_t n,
		 struct err *e)
{
	struct pg_statement *s = prepare(b, sql, n, e);

	if (!s)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct str copy;

		if (!params[i])
			continue;
		copy = arena_str(&b->arena, str_from(params[i]));
		if (!copy.ptr)
			return err_memory(e, "statement");
		s->params[i] = copy.ptr;
		s->bytes += copy.len;
	}
	b->count++;
	return 0;
}

int pg_batch_add_kept(struct pg_batch *b, const char *sql, const char *const *params, size_t n,
		      struct err *e)
{
	struct pg_statement *s = prepare(b, sql, n, e);

	if (!s)
		return -1;
	for (size_t i = 0; i < n; i++) {
		s->params[i] = params[i];
		s->bytes += params[i] ? strlen(params[i]) : 0;
	}
	b->count++;
	return 0;
}
