/* Any bytes as changes of generic entities: each is refused, or becomes part of a revision, and
 * then requests find their way through the routes. Nothing is left when all of it is removed again.
 *
 *     input: changes, each behind two bytes of length; the last piece is a request's path */
#include <stdlib.h>

#include "common/http/path.h"
#include "data-plane/sync/apply_entities.h"
#include "data-plane/sync/decode.h"
#include "data-plane/tables/plugin.h"
#include "data-plane/tables/route_match.h"
#include "data-plane/tables/upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BARRIER_EVERY = 256, CHANGES_MAX = 8, PATH_LEN_MAX = 256 };

static struct tables *tables;
static struct route_matcher *matcher;

static const struct plugin_kind plain = {.name = "ssl"};
static const struct plugin_kind *const kinds[] = {&plain, NULL};

static void need(bool ok)
{
	if (!ok)
		abort();
}

static int stage(struct str change)
{
	struct plane_message m;
	int rc;

	if (plane_change_decode(&m, change, NULL) != 0)
		return -1;
	if (m.change.kind < CHANGE_ROUTE)
		rc = -1;
	else if (m.change.kind == CHANGE_ROUTE)
		rc = m.change.removed
			     ? routes_remove(&tables->routes, &tables->txn, m.change.id, NULL)
			     : apply_put_route(tables, &m.change, NULL);
	else
		rc = m.change.removed ? apply_remove_entity(tables, &m.change, NULL)
				      : apply_put_entity(tables, &m.change, NULL);
	plane_message_free(&m);
	return rc;
}

static void ask(struct str path)
{
	char normal[PATH_LEN_MAX + 1] = "/";
	const unsigned char id[ENTITY_ID_SIZE] = "................";
	struct http_field field = {STR("x-a"), STR("1")};
	struct http_fields fields = {&field, 1, 1};
	struct route_request q = {.method = STR("GET"), .host = STR("a.com"), .fields = &fields};
	uint64_t generation = tables_enter(tables);
	struct route_match m;

	if (path.len >= PATH_LEN_MAX)
		path.len = PATH_LEN_MAX - 1;
	memcpy(normal + 1, path.ptr, path.len);
	q.path = (struct str){normal,
			      http_path_normalise(normal, (struct str){normal, path.len + 1})};
	if (routes_match(&tables->routes, generation, matcher, &q, &m))
		need(m.route->category && m.matched.len <= q.path.len);
	(void)plugin_find(&tables->entities, generation, 0, id, id, id);
	(void)upstream_by_name(&tables->entities, generation, q.path);
	rcu_leave();
}

static void clear(void)
{
	static unsigned runs;
	struct tables_culprit c;

	tables_begin(tables, true);
	need(tables_commit(tables, &c, NULL) == 0);
	need(atomic_load(&tables->routes.lists.count) == 0);
	need(atomic_load(&tables->routes.counts.count) == 0);
	need(atomic_load(&tables->entities.index.count) == 0);
	if (++runs % BARRIER_EVERY == 0) /* it takes a millisecond or more */
		rcu_barrier();
	tables_reap(tables);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = {(const char *)data, size};
	struct tables_culprit c;

	if (!tables)
		need(tables_create(&tables, kinds, NULL) == 0 &&
		     (matcher = route_matcher_create()) != NULL);
	if (size > 8192)
		return 0;
	tables_begin(tables, false);
	for (int i = 0; i < CHANGES_MAX && rest.len > 2; i++) {
		size_t n = (size_t)((unsigned char)rest.ptr[0] << 8 | (unsigned char)rest.ptr[1]);

		if (n > rest.len - 2)
			break;
		if (stage(str_sub(rest, 2, 2 + n)) != 0) {
			tables_abort(tables);
			tables_begin(tables, false);
		}
		rest = str_sub(rest, 2 + n, rest.len);
	}
	need(tables_commit(tables, &c, NULL) == 0);
	ask(rest);
	clear();
	return 0;
}
