#include "data-plane/tables/health.h"

#include <stdlib.h>
#include <string.h>

struct mark {
	struct version version;
	struct health_view view;
};

static void free_mark(struct version *v, void *arg)
{
	(void)arg;
	free(v);
}

static_assert(offsetof(struct mark, version) == 0, "values begin with their version");

int health_board_init(struct health_board *b, struct err *e)
{
	int rc;

	memset(b, 0, sizeof(*b));
	b->events = calloc(HEALTH_EVENTS_MAX, sizeof(*b->events));
	b->spare = calloc(HEALTH_EVENTS_MAX, sizeof(*b->spare));
	rc = b->events && b->spare ? live_map_init(&b->marks, free_mark, NULL, e)
				   : err_memory(e, "making the table of health");
	if (rc == 0 && uv_mutex_init(&b->lock) != 0) {
		live_map_deinit(&b->marks);
		rc = err_memory(e, "making the table of health");
	}
	if (rc == 0)
		return 0;
	free(b->events);
	free(b->spare);
	memset(b, 0, sizeof(*b));
	return -1;
}

void health_board_deinit(struct health_board *b)
{
	if (!b->events)
		return;
	live_map_deinit(&b->marks);
	uv_mutex_destroy(&b->lock);
	free(b->events);
	free(b->spare);
	b->events = b->spare = NULL;
}

/* Ids are random, each bit of them. */
static unsigned epoch_of(const unsigned char upstream[ENTITY_ID_SIZE])
{
	return upstream[ENTITY_ID_SIZE - 1] % HEALTH_EPOCHS;
}

uint32_t health_epoch(const struct health_board *b, const unsigned char upstream[ENTITY_ID_SIZE])
{
	return atomic_load_explicit(&b->epochs[epoch_of(upstream)], memory_order_acquire);
}

void health_key(unsigned char out[HEALTH_KEY_SIZE], const unsigned char upstream[ENTITY_ID_SIZE],
		const struct addr *a)
{
	uint16_t port = addr_port(a);
	unsigned char *ip = out + ENTITY_ID_SIZE;

	memset(out, 0, HEALTH_KEY_SIZE);
	memcpy(out, upstream, ENTITY_ID_SIZE);
	if (a->u.sa.sa_family == AF_INET6) {
		memcpy(ip, &a->u.in6.sin6_addr, 16);
	} else {
		memset(ip + 10, 0xFF, 2);
		memcpy(ip + 12, &a->u.in4.sin_addr, 4);
	}
	memcpy(ip + 16, &port, sizeof(port));
}

struct health_view health_find(const struct health_board *b,
			       const unsigned char upstream[ENTITY_ID_SIZE], const struct addr *a)
{
	unsigned char key[HEALTH_KEY_SIZE];
	const struct version *v;

	if (atomic_load_explicit(&b->marks.map.count, memory_order_relaxed) == 0)
		return (struct health_view){false, false};
	health_key(key, upstream, a);
	v = live_map_get(&b->marks, (struct str){(char *)key, sizeof(key)});
	return v ? container_of((struct version *)(uintptr_t)v, struct mark, version)->view
		 : (struct health_view){false, false};
}

/* thread: sync */
static void take_events(void *arg)
{
	struct health_board *b = arg;
	struct health_event *events;
	size_t n;

	uv_mutex_lock(&b->lock);
	events = b->events;
	n = b->event_count;
	b->events = b->spare;
	b->spare = events;
	b->event_count = 0;
	b->posted = false;
	uv_mutex_unlock(&b->lock);
	if (b->on_events && n > 0)
		b->on_events(events, n, b->arg);
}

void health_post(struct health_board *b, const struct health_event *ev)
{
	uv_mutex_lock(&b->lock);
	if (!b->loop || b->event_count == HEALTH_EVENTS_MAX) {
		atomic_fetch_add(&b->dropped, 1);
	} else {
		b->events[b->event_count++] = *ev;
		if (!b->posted)
			b->posted = loop_post(b->loop, take_events, b, NULL) == 0;
	}
	uv_mutex_unlock(&b->lock);
}

void health_serve(struct health_board *b, struct loop *l,
		  void (*on_events)(const struct health_event *events, size_t n, void *arg),
		  void *arg)
{
	uv_mutex_lock(&b->lock);
	b->loop = l;
	b->on_events = on_events;
	b->arg = arg;
	uv_mutex_unlock(&b->lock);
}

int health_mark(struct health_board *b, const unsigned char upstream[ENTITY_ID_SIZE],
		const struct addr *a, struct health_view v, struct err *e)
{
	unsigned char bytes[HEALTH_KEY_SIZE];
	struct str key = {(char *)bytes, sizeof(bytes)};
	struct mark *m;
	int rc;

	health_key(bytes, upstream, a);
	if (!v.unhealthy && !v.watched) {
		rc = live_map_remove(&b->marks, key, e);
	} else {
		m = calloc(1, sizeof(*m));
		if (!m)
			return err_memory(e, "marking an address");
		m->view = v;
		rc = live_map_put(&b->marks, key, &m->version, e);
	}
	if (rc == 0)
		atomic_fetch_add_explicit(&b->epochs[epoch_of(upstream)], 1, memory_order_release);
	return rc;
}
