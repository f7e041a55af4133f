#include "data-plane/tables/withheld.h"

#include <string.h>

enum { KEY_SIZE = 1 + WITHHELD_ID_SIZE };

static struct str key_make(char out[KEY_SIZE], enum tables_kind kind,
			   const unsigned char id[WITHHELD_ID_SIZE])
{
	out[0] = (char)kind;
	memcpy(out + 1, id, WITHHELD_ID_SIZE);
	return (struct str){out, KEY_SIZE};
}

void withheld_init(struct withheld *w)
{
	map_init(&w->now);
	map_init(&w->next);
	w->changed = false;
}

void withheld_deinit(struct withheld *w)
{
	map_deinit(&w->now);
	map_deinit(&w->next);
}

void withheld_abort(struct withheld *w)
{
	map_deinit(&w->next);
	map_init(&w->next);
	w->changed = false;
}

void withheld_begin(struct withheld *w, bool replacing)
{
	withheld_abort(w);
	w->changed = replacing;
}

/* A copy to change: the set is tiny. */
static int next_begin(struct withheld *w, struct err *e)
{
	size_t pos = 0;
	struct str key;

	if (w->changed)
		return 0;
	w->changed = true;
	while (map_next(&w->now, &pos, &key, NULL))
		if (map_put(&w->next, key, w, NULL, e) != 0)
			return -1;
	return 0;
}

int withheld_add(struct withheld *w, enum tables_kind kind,
		 const unsigned char id[WITHHELD_ID_SIZE], struct err *e)
{
	char key[KEY_SIZE];

	return next_begin(w, e) != 0 ? -1 : map_put(&w->next, key_make(key, kind, id), w, NULL, e);
}

int withheld_remove(struct withheld *w, enum tables_kind kind,
		    const unsigned char id[WITHHELD_ID_SIZE], struct err *e)
{
	char key[KEY_SIZE];

	if (!withheld_has(w, kind, id))
		return 0;
	if (next_begin(w, e) != 0)
		return -1;
	(void)map_remove(&w->next, key_make(key, kind, id));
	return 0;
}

static const struct map *newest(const struct withheld *w)
{
	return w->changed ? &w->next : &w->now;
}

bool withheld_has(const struct withheld *w, enum tables_kind kind,
		  const unsigned char id[WITHHELD_ID_SIZE])
{
	char key[KEY_SIZE];

	return newest(w)->count > 0 && map_get(newest(w), key_make(key, kind, id)) != NULL;
}

bool withheld_any(const struct withheld *w, enum tables_kind kind)
{
	size_t pos = 0;
	struct str key;

	while (newest(w)->count > 0 && map_next(newest(w), &pos, &key, NULL))
		if (key.ptr[0] == (char)kind)
			return true;
	return false;
}

void withheld_commit(struct withheld *w)
{
	if (!w->changed)
		return;
	map_deinit(&w->now);
	w->now = w->next;
	map_init(&w->next);
	w->changed = false;
}
