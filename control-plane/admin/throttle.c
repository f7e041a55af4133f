#include "control-plane/admin/throttle.h"

#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/compiler.h"

enum { KEY_SIZE = 9 }; /* family, then the address or its first half */

struct entry {
	struct link link;
	char key[KEY_SIZE];
	uint64_t since_ns; /* first failure of the window */
	unsigned failures;
};

static const uint64_t window_ns = (uint64_t)THROTTLE_WINDOW_S * 1000000000U;

static struct str make_key(const struct addr *from, char out[KEY_SIZE])
{
	const char *v6 = (const char *)&from->u.in6.sin6_addr;
	bool mapped =
		from->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&from->u.in6.sin6_addr);

	memset(out, 0, KEY_SIZE);
	if (from->u.sa.sa_family == AF_INET6 && !mapped) {
		out[0] = 6;
		memcpy(out + 1, v6, 8);
	} else {
		out[0] = 4;
		memcpy(out + 1, mapped ? v6 + 12 : (const char *)&from->u.in4.sin_addr, 4);
	}
	return (struct str){out, KEY_SIZE};
}

void throttle_init(struct throttle *t, unsigned limit)
{
	t->limit = limit;
	map_init(&t->entries);
	list_init(&t->oldest);
}

static void forget(struct throttle *t, struct entry *e)
{
	map_remove(&t->entries, (struct str){e->key, KEY_SIZE});
	list_remove(&e->link);
	free(e);
}

void throttle_deinit(struct throttle *t)
{
	list_for_each_safe(it, &t->oldest) forget(t, container_of(it, struct entry, link));
	map_deinit(&t->entries);
}

static bool is_over(const struct entry *e, uint64_t now)
{
	return now - e->since_ns >= window_ns;
}

unsigned throttle_wait(const struct throttle *t, const struct addr *from)
{
	char key[KEY_SIZE];
	const struct entry *e = map_get(&t->entries, make_key(from, key));
	uint64_t now = clock_mono_ns();

	if (!t->limit || !e || e->failures < t->limit || is_over(e, now))
		return 0;
	return (unsigned)((window_ns - (now - e->since_ns)) / 1000000000U) + 1;
}

static struct entry *add(struct throttle *t, struct str key)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	if (t->entries.count >= THROTTLE_ADDRESSES_MAX)
		forget(t, container_of(t->oldest.next, struct entry, link));
	memcpy(e->key, key.ptr, KEY_SIZE);
	e->since_ns = clock_mono_ns();
	list_init(&e->link);
	if (map_put(&t->entries, key, e, NULL, NULL) == 0)
		return e;
	free(e);
	return NULL;
}

void throttle_failed(struct throttle *t, const struct addr *from)
{
	char text[KEY_SIZE];
	struct str key = make_key(from, text);
	struct entry *e = map_get(&t->entries, key);
	uint64_t now = clock_mono_ns();

	if (!e)
		e = add(t, key);
	if (!e)
		return;
	if (is_over(e, now)) {
		e->since_ns = now;
		e->failures = 0;
	}
	e->failures++;
	list_remove(&e->link);
	list_push(&t->oldest, &e->link);
}
