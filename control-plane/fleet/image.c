/* The list of everything in wire form. */
#include "control-plane/fleet/image.h"

enum { KEY_MAX = 64 };

static struct image_place *place_of(struct link *l)
{
	return container_of(l, struct image_place, link);
}

static struct image_item *item_of(struct link *l)
{
	return container_of(place_of(l), struct image_item, place);
}

/* Kind and id as one key of the map. */
static struct str key_make(char out[KEY_MAX], const struct entity *t, const unsigned char id[16])
{
	size_t n = strlen(t->name);

	if (n > KEY_MAX - 17)
		n = KEY_MAX - 17;
	memcpy(out, t->name, n);
	out[n] = '/';
	memcpy(out + n + 1, id, 16);
	return (struct str){out, n + 17};
}

static void item_free(struct image_item *it)
{
	list_remove(&it->place.link);
	list_remove(&it->dead);
	list_remove(&it->hold);
	encoded_free(it->bytes);
	free(it);
}

void image_init(struct image *m)
{
	memset(m, 0, sizeof(*m));
	map_init(&m->items);
	list_init(&m->order);
	list_init(&m->tombstones);
	list_init(&m->holds);
}

static void drop_all(struct image *m)
{
	size_t pos = 0;
	void *value;

	while (map_next(&m->items, &pos, NULL, &value))
		item_free(value);
	map_deinit(&m->items);
	assert(list_empty(&m->order));
}

void image_deinit(struct image *m)
{
	drop_all(m);
}

void image_reset(struct image *m, const char *epoch)
{
	drop_all(m);
	image_init(m);
	snprintf(m->epoch, sizeof(m->epoch), "%s", epoch);
}

/* To the end. A load may come in any order (its commit puts it in order); later changes come in
 * order, and one that did not would count as the newest, so that no cursor misses it. */
static void item_place(struct image *m, struct image_item *it, uint64_t revision)
{
	list_remove(&it->place.link);
	list_remove(&it->dead);
	it->revision = m->ready && revision < m->newest ? m->newest : revision;
	m->newest = it->revision > m->newest ? it->revision : m->newest;
	list_push(&m->order, &it->place.link);
	if (it->removed)
		list_push(&m->tombstones, &it->dead);
}

static struct image_item *item_add(struct image *m, const struct entity *t,
				   const unsigned char id[16], struct err *e)
{
	struct image_item *it = calloc(1, sizeof(*it));
	char key[KEY_MAX];

	if (!it) {
		(void)err_memory(e, "image");
		return NULL;
	}
	list_init(&it->place.link);
	list_init(&it->dead);
	list_init(&it->hold);
	it->entity = t;
	memcpy(it->id, id, sizeof(it->id));
	it->removed = true;
	if (map_put(&m->items, key_make(key, t, id), it, NULL, e)) {
		free(it);
		return NULL;
	}
	return it;
}

/* What an entity is from a revision on; bytes belong to the image from now on. */
struct item_state {
	struct encoded *bytes;
	uint64_t revision, refused;
	bool removed;
};

static int item_set(struct image *m, const struct entity *t, const unsigned char id[16],
		    const struct item_state *s, struct err *e)
{
	char key[KEY_MAX];
	struct image_item *it = map_get(&m->items, key_make(key, t, id));

	if (!it)
		it = item_add(m, t, id, e);
	if (!it) {
		encoded_free(s->bytes);
		return -1;
	}
	m->live += it->removed && !s->removed ? 1 : 0;
	m->live -= !it->removed && s->removed ? 1 : 0;
	m->held += !it->refused && s->refused ? 1 : 0;
	m->held -= it->refused && !s->refused ? 1 : 0;
	encoded_free(it->bytes);
	it->bytes = s->bytes;
	it->removed = s->removed;
	it->refused = s->refused;
	it->suspect = false;
	list_remove(&it->hold);
	if (s->refused)
		list_push(&m->holds, &it->hold);
	item_place(m, it, s->revision);
	return 0;
}

static int id_of(unsigned char raw[16], const struct entity *t, const char *id, struct err *e)
{
	if (!uuid_is(str_from(id)))
		return err_set(e, ERR_INVALID, "%s: id is not a UUID", t->name);
	uuid_bytes(str_from(id), raw);
	return 0;
}

int image_put(struct image *m, const struct entity *t, const char *id, const json_t *row,
	      uint64_t revision, struct err *e)
{
	struct item_state s = {.revision = revision, .removed = row == NULL};
	unsigned char raw[16];

	m->open = true;
	if (id_of(raw, t, id, e) || encode_change(&s.bytes, t, raw, row, e))
		return -1;
	return item_set(m, t, raw, &s, e);
}

int image_hold(struct image *m, const struct entity *t, const char *id, uint64_t refused,
	       uint64_t revision, struct err *e)
{
	struct item_state s = {.revision = revision, .refused = refused};
	unsigned char raw[16];

	m->open = true;
	if (id_of(raw, t, id, e) || encode_held(&s.bytes, t, raw, e))
		return -1;
	return item_set(m, t, raw, &s, e);
}

static struct image_item *item_find(const struct image *m, const struct entity *t, const char *id)
{
	unsigned char raw[16];
	char key[KEY_MAX];

	if (id_of(raw, t, id, NULL))
		return NULL;
	return map_get(&m->items, key_make(key, t, raw));
}

bool image_suspect(struct image *m, const struct entity *t, const char *id, uint64_t revision)
{
	struct image_item *it = item_find(m, t, id);

	if (!it || it->refused || it->revision > revision)
		return false;
	it->suspect = true;
	return true;
}

void image_trust(struct image *m, const struct entity *t, const char *id)
{
	struct image_item *it = item_find(m, t, id);

	if (it)
		it->suspect = false;
}

bool image_refused(const struct image *m, uint64_t revision)
{
	list_for_each(l, &m->holds)
	{
		if (container_of(l, struct image_item, hold)->refused == revision)
			return true;
	}
	return false;
}

bool image_is_suspect(const struct image *m, const struct entity *t, const char *id)
{
	const struct image_item *it = item_find(m, t, id);

	return it && it->suspect;
}

static int by_revision(const void *a, const void *b)
{
	const struct image_item *const *x = a;
	const struct image_item *const *y = b;

	return ((*x)->revision > (*y)->revision) - ((*x)->revision < (*y)->revision);
}

static bool in_order(struct image *m)
{
	uint64_t last = 0;

	list_for_each(l, &m->order)
	{
		if (item_of(l)->revision < last)
			return false;
		last = item_of(l)->revision;
	}
	return true;
}

/* At the end of a load there are no cursors yet. Without memory for it the list is put in order in
 * place, slowly. */
static void put_in_order(struct image *m)
{
	struct image_item **all = calloc(m->items.count + 1, sizeof(struct image_item *));
	size_t n = 0;

	if (!all) {
		list_for_each_safe(l, &m->order)
		{
			struct link *at = l->prev;
			while (at != &m->order && item_of(at)->revision > item_of(l)->revision)
				at = at->prev;
			list_remove(l);
			list_insert_after(at, l);
		}
		return;
	}
	list_for_each(l, &m->order) all[n++] = item_of(l);
	qsort(all, n, sizeof(all[0]), by_revision);
	list_init(&m->order);
	for (size_t i = 0; i < n; i++)
		list_push(&m->order, &all[i]->place.link);
	free(all);
}

/* As the list: forgetting stops at the first that must stay. */
static void tombstones_in_order(struct image *m)
{
	list_init(&m->tombstones);
	list_for_each(l, &m->order)
	{
		struct image_item *it = item_of(l);

		list_init(&it->dead);
		if (it->removed)
			list_push(&m->tombstones, &it->dead);
	}
}

static void forget(struct image *m)
{
	char key[KEY_MAX];

	while (!list_empty(&m->tombstones)) {
		struct image_item *it = container_of(m->tombstones.next, struct image_item, dead);
		if (it->revision > m->floor)
			return;
		(void)map_remove(&m->items, key_make(key, it->entity, it->id));
		item_free(it);
	}
}

void image_commit(struct image *m, uint64_t revision, uint64_t floor)
{
	if (!m->ready && !in_order(m)) {
		put_in_order(m);
		tombstones_in_order(m);
	}
	m->revision = revision;
	m->floor = floor;
	m->ready = true;
	m->open = false;
	forget(m);
}

void image_cursor_init(struct image_cursor *c)
{
	c->place.is_cursor = true;
	list_init(&c->place.link);
}

void image_cursor_stop(struct image_cursor *c)
{
	list_remove(&c->place.link);
}

void image_cursor_first(struct image *m, struct image_cursor *c)
{
	list_remove(&c->place.link);
	list_push_front(&m->order, &c->place.link);
}

void image_cursor_after(struct image *m, struct image_cursor *c, uint64_t held)
{
	struct link *at;

	list_remove(&c->place.link);
	at = m->order.prev;
	while (at != &m->order && (place_of(at)->is_cursor || item_of(at)->revision > held))
		at = at->prev;
	list_insert_after(at, &c->place.link);
}

static struct link *next_item(const struct image *m, const struct image_cursor *c)
{
	struct link *at = c->place.link.next;

	while (at != &m->order && place_of(at)->is_cursor)
		at = at->next;
	return at;
}

bool image_cursor_at_end(const struct image *m, const struct image_cursor *c)
{
	return next_item(m, c) == &m->order;
}

const struct image_item *image_cursor_next(struct image *m, struct image_cursor *c)
{
	struct link *at = next_item(m, c);

	if (at == &m->order || item_of(at)->suspect)
		return NULL;
	list_remove(&c->place.link);
	list_insert_after(at, &c->place.link);
	return item_of(at);
}
