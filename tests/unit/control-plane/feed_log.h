/* What a follower of the feed was told, for tests. */
#ifndef CARDEA_TESTS_FEED_LOG_H
#define CARDEA_TESTS_FEED_LOG_H

#include "tests/unit/control-plane/store_fixture.h"

enum { FEED_LOG_MAX = 8192 };

struct feed_log {
	unsigned resets;
	char epoch[128];
	struct {
		const struct entity *entity;
		char id[40];
		uint64_t revision;
		bool removed;
		uint64_t refused;
	} changes[FEED_LOG_MAX];
	size_t count;
	size_t rows_wrong; /* rows without what every row has */
	uint64_t committed, floor;
	unsigned commits;
	char nodes[64];
};

static inline void feed_log_reset(const char *epoch, void *arg)
{
	struct feed_log *l = arg;

	l->resets++;
	l->count = 0;
	snprintf(l->epoch, sizeof(l->epoch), "%s", epoch);
}

static inline void feed_log_change(const struct feed_change *c, void *arg)
{
	struct feed_log *l = arg;

	assert_true(l->count < FEED_LOG_MAX);
	l->changes[l->count].entity = c->entity;
	snprintf(l->changes[l->count].id, sizeof(l->changes[0].id), "%s", c->id);
	l->changes[l->count].revision = c->revision;
	l->changes[l->count].removed = !c->row;
	l->changes[l->count].refused = c->refused;
	l->count++;
	if (c->row && (!json_equal(json_object_get(c->row, "id"), json_object_get(c->row, "id")) ||
		       !json_is_integer(json_object_get(c->row, "version"))))
		l->rows_wrong++;
	if (c->row && c->entity == &entity_certificates &&
	    !strstr(json_string_value(json_object_get(c->row, "key")), "secret"))
		l->rows_wrong++;
}

static inline void feed_log_commit(uint64_t revision, uint64_t floor, void *arg)
{
	struct feed_log *l = arg;

	assert_true(l->commits == 0 || revision >= l->committed || l->resets > 1);
	l->committed = revision;
	l->floor = floor;
	l->commits++;
}

static inline void feed_log_nodes(const char *payload, void *arg)
{
	struct feed_log *l = arg;

	snprintf(l->nodes, sizeof(l->nodes), "%s", payload);
}

static inline struct feed_log *feed_log_start(struct store *s)
{
	struct feed_log *l = calloc(1, sizeof(*l));
	struct feed_events ev = {feed_log_reset, feed_log_change, feed_log_commit, feed_log_nodes,
				 l};
	struct err e = ERR_INIT;

	assert_non_null(l);
	assert_int_equal(store_follow(s, &ev, &e), 0);
	return l;
}

#endif
