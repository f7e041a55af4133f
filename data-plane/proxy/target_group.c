#include "data-plane/proxy/target_group.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_PLANS = 8, DRY_PICKS_MAX = 64, NAME_WEIGHT = 100 };

/* An address that the group is to have. Strings live until rcu_leave. */
struct plan {
	struct addr addr;
	struct str host;
	unsigned weight;
};

struct plans {
	struct plan *items;
	size_t count, cap;
	size_t pending, failed, denied;
};

struct target_group *group_create(struct str host, uint64_t seed)
{
	struct target_group *g = calloc(1, sizeof(*g) + host.len + 1);

	if (!g)
		return NULL;
	memcpy(g + 1, host.ptr, host.len);
	g->host = (struct str){(char *)(g + 1), host.len};
	g->balance.random = seed;
	arena_init(&g->memory, 0);
	list_init(&g->waiters);
	list_init(&g->waiting);
	return g;
}

void balanced_unref(struct balanced *b)
{
	if (--b->refs == 0)
		free(b);
}

static void drop(struct balanced *b)
{
	b->group = NULL;
	balanced_unref(b);
}

void group_free(struct target_group *g)
{
	assert(list_empty(&g->waiters));
	list_remove(&g->waiting);
	for (size_t i = 0; i < g->count; i++)
		drop(g->slots[i]);
	free(g->slots);
	free(g->items);
	arena_deinit(&g->memory);
	free(g);
}

/* --- what the upstream says --- */

static void set_statuses(uint64_t set[GROUP_STATUS_WORDS], const struct check_rule *rule)
{
	memset(set, 0, GROUP_STATUS_WORDS * sizeof(set[0]));
	for (size_t i = 0; i < rule->status_count; i++) {
		unsigned bit = rule->statuses[i] - GROUP_STATUS_MIN;

		if (bit / 64 < GROUP_STATUS_WORDS)
			set[bit / 64] |= 1ULL << bit % 64;
	}
}

bool group_status_has(const uint64_t set[GROUP_STATUS_WORDS], unsigned status)
{
	unsigned bit = status - GROUP_STATUS_MIN;

	return status >= GROUP_STATUS_MIN && bit / 64 < GROUP_STATUS_WORDS &&
	       (set[bit / 64] >> bit % 64 & 1) != 0;
}

static struct str keep(struct target_group *g, struct str s)
{
	return s.ptr ? arena_str(&g->memory, s) : s;
}

static int take_upstream(struct target_group *g, const struct upstream *u)
{
	const struct check_rule *bad = &u->checks.passive.unhealthy;

	arena_reset(&g->memory);
	g->hash = (struct hash_input){u->hash.source, keep(g, u->hash.name)};
	g->fallback = (struct hash_input){u->fallback.source, keep(g, u->fallback.name)};
	g->cookie_path = keep(g, u->hash_cookie_path);
	if ((u->hash.name.ptr && !g->hash.name.ptr) ||
	    (u->fallback.name.ptr && !g->fallback.name.ptr) ||
	    (u->hash_cookie_path.ptr && !g->cookie_path.ptr))
		return -1;
	memcpy(g->id, u->entity.id, sizeof(g->id));
	g->algorithm = u->algorithm;
	g->threshold = u->checks.threshold;
	g->may_panic = u->checks.panic;
	set_statuses(g->good, &u->checks.passive.healthy);
	set_statuses(g->bad, bad);
	g->successes = u->checks.passive.healthy.successes;
	g->tcp_failures = bad->tcp_failures;
	g->timeouts = bad->timeouts;
	g->http_failures = bad->http_failures;
	return 0;
}

/* --- planning --- */

static int plan_add(struct plans *p, const struct group_tables *t, const struct addr *a,
		    struct str host, unsigned weight)
{
	if (addr_port(a) != 0 && !address_rules_allow(t->rules, a)) {
		p->denied++;
		return 0;
	}
	if (p->count == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : FIRST_PLANS;
		struct plan *grown = realloc(p->items, cap * sizeof(*grown));

		if (!grown)
			return -1;
		p->items = grown;
		p->cap = cap;
	}
	p->items[p->count++] = (struct plan){*a, host, weight};
	return 0;
}

/* An address of a name, or of an SRV record of it. */
static int plan_address(struct plans *p, const struct group_tables *t, const struct address *found,
			struct str host, uint16_t port, unsigned weight, bool srv_name)
{
	bool srv = addr_port(&found->addr) != 0;
	struct addr a = found->addr;

	if (!srv)
		addr_set_port(&a, port);
	if (srv && srv_name && found->name.ptr)
		host = found->name;
	return plan_add(p, t, &a, host, srv && found->weight > 0 ? found->weight : weight);
}

static int plan_host(struct plans *p, const struct group_tables *t, struct str host, uint16_t port,
		     unsigned weight, bool srv_name)
{
	const struct address_set *set;
	struct addr a;

	if (weight == 0)
		return 0;
	if (addr_parse_ip(&a, host) == 0) {
		addr_set_port(&a, port);
		return plan_add(p, t, &a, host, weight);
	}
	set = addresses_find(t->addresses, host);
	if (!set) {
		if (addresses_ask(t->reader, host, NULL) == 0)
			p->pending++;
		else
			p->failed++;
		return 0;
	}
	p->failed += set->count == 0;
	for (size_t i = 0; i < set->count; i++)
		if (plan_address(p, t, &set->items[i], host, port, weight, srv_name) < 0)
			return -1;
	return 0;
}

static int compare_host(struct str a, struct str b)
{
	int d = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

	return d || a.len == b.len ? d : a.len < b.len ? -1 : 1;
}

static int compare(const struct addr *a, struct str host, const struct addr *b, struct str other)
{
	int d = addr_compare(a, b);

	return d ? d : compare_host(host, other);
}

static int compare_plans(const void *x, const void *y)
{
	const struct plan *a = x, *b = y;

	return compare(&a->addr, a->host, &b->addr, b->host);
}

/* Two records may say the same: their weights add up. */
static void join_plans(struct plans *p)
{
	size_t n = 0;

	if (p->count > 1)
		qsort(p->items, p->count, sizeof(p->items[0]), compare_plans);
	for (size_t i = 0; i < p->count; i++) {
		if (n > 0 && compare_plans(&p->items[n - 1], &p->items[i]) == 0)
			p->items[n - 1].weight += p->items[i].weight;
		else
			p->items[n++] = p->items[i];
	}
	p->count = n;
}

/* --- making --- */

static struct balanced *balanced_make(struct target_group *g, const struct plan *p)
{
	struct balanced *b = calloc(1, sizeof(*b) + p->host.len + 1);
	char text[ADDR_TEXT_SIZE];

	if (!b)
		return NULL;
	memcpy(b + 1, p->host.ptr, p->host.len);
	b->host = (struct str){(char *)(b + 1), p->host.len};
	b->addr = p->addr;
	b->group = g;
	b->refs = 1;
	addr_text(&b->addr, text, sizeof(text));
	b->item.key = balance_hash(b->host, balance_hash(str_from(text), 0));
	return b;
}

/* Takes what stays from the old list: both are sorted. *at moves on in the old list. */
static struct balanced *balanced_take(struct target_group *g, const struct plan *p, size_t *at)
{
	while (*at < g->count) {
		struct balanced *old = g->slots[*at];
		int d = compare(&old->addr, old->host, &p->addr, p->host);

		if (d > 0)
			break;
		++*at;
		if (d == 0) {
			old->refs++;
			return old;
		}
	}
	return balanced_make(g, p);
}

/* So that workers and nodes which begin together do not all begin with the same address. */
static void spread(struct target_group *g)
{
	const struct balance_query q = {0};
	size_t n = g->count > 1 ? balance_random(&g->balance) % g->count : 0;

	for (n = n < DRY_PICKS_MAX ? n : DRY_PICKS_MAX; n > 0; n--)
		(void)balance_types[ALGORITHM_ROUND_ROBIN]->pick(&g->balance, &q);
}

static void adopt(struct target_group *g, struct balanced **slots, struct balance_item **items,
		  const struct plans *p)
{
	for (size_t i = 0; i < p->count; i++) {
		items[i] = &slots[i]->item;
		items[i]->weight = p->items[i].weight;
		items[i]->usable = true;
		items[i]->current = 0;
	}
	/* Those that stay have a reference of the new list too, and get their group back. */
	for (size_t i = 0; i < g->count; i++)
		drop(g->slots[i]);
	for (size_t i = 0; i < p->count; i++)
		slots[i]->group = g;
	free(g->slots);
	free(g->items);
	g->slots = slots;
	g->items = items;
	g->count = p->count;
	g->balance.items = items;
	g->balance.count = p->count;
	g->pending = p->pending;
	g->failed = p->failed;
	g->denied = p->denied;
	spread(g);
}

static int make_slots(struct target_group *g, const struct plans *p)
{
	struct balanced **slots = calloc(p->count + 1, sizeof(struct balanced *));
	struct balance_item **items = calloc(p->count + 1, sizeof(struct balance_item *));
	size_t at = 0, n = 0;

	while (slots && items && n < p->count) {
		slots[n] = balanced_take(g, &p->items[n], &at);
		if (!slots[n])
			break;
		n++;
	}
	if (slots && items && n == p->count) {
		adopt(g, slots, items, p);
		return 0;
	}
	for (size_t i = 0; slots && i < n; i++)
		balanced_unref(slots[i]);
	free(slots);
	free(items);
	return -1;
}

static int plan_all(const struct target_group *g, struct plans *p, const struct group_tables *t,
		    const struct upstream *u, const struct entity_list *targets)
{
	if (!u)
		return plan_host(p, t, g->host, 0, NAME_WEIGHT, false);
	for (size_t i = 0; targets && i < targets->count; i++) {
		const struct target *x = entity_of(targets->items[i], struct target);

		if (plan_host(p, t, x->host, x->port, x->weight, u->use_srv_name) < 0)
			return -1;
	}
	return 0;
}

static int make(struct target_group *g, const struct group_tables *t, const struct upstream *u,
		const struct entity_list *targets)
{
	struct plans p = {0};
	int rc = plan_all(g, &p, t, u, targets);

	join_plans(&p);
	if (rc == 0)
		rc = make_slots(g, &p);
	free(p.items);
	return rc;
}

/* --- health --- */

static bool enough(const struct target_group *g)
{
	uint64_t total = 0, healthy = 0;

	for (size_t i = 0; i < g->count; i++) {
		total += g->slots[i]->item.weight;
		healthy += g->slots[i]->health.unhealthy ? 0 : g->slots[i]->item.weight;
	}
	return healthy > 0 && (double)healthy * 100 >= g->threshold * (double)total;
}

/* Shares begin anew when others take part: what those had saved up would disturb them. */
static void read_health(struct target_group *g, const struct group_tables *t)
{
	bool changed = false;

	for (size_t i = 0; i < g->count; i++) {
		struct balanced *b = g->slots[i];

		b->health = g->is_upstream ? health_find(t->health, g->id, &b->addr)
					   : (struct health_view){false, false};
	}
	g->available = enough(g);
	g->panics = !g->available && g->may_panic;
	g->available |= g->panics;
	for (size_t i = 0; i < g->count; i++) {
		struct balanced *b = g->slots[i];
		bool usable = g->panics || !b->health.unhealthy;

		changed |= usable != b->item.usable;
		b->item.usable = usable;
	}
	for (size_t i = 0; changed && i < g->count; i++)
		g->items[i]->current = 0;
}

/* --- what changed --- */

/* Of every name's address set: which one it is. */
static uint64_t sign_host(const struct group_tables *t, struct str host, uint64_t sign)
{
	const struct address_set *set;
	struct addr a;
	uint64_t since;

	if (addr_parse_ip(&a, host) == 0)
		return sign;
	set = addresses_find(t->addresses, host);
	since = set ? set->version.since : 0;
	return balance_hash((struct str){(char *)&since, sizeof(since)}, sign);
}

static uint64_t sign_names(const struct target_group *g, const struct group_tables *t,
			   const struct upstream *u, const struct entity_list *targets)
{
	uint64_t sign = 1;

	if (!u)
		return sign_host(t, g->host, sign);
	for (size_t i = 0; targets && i < targets->count; i++)
		sign = sign_host(t, entity_of(targets->items[i], struct target)->host, sign);
	return sign;
}

int group_refresh(struct target_group *g, const struct group_tables *t, uint64_t generation)
{
	uint64_t epoch = atomic_load_explicit(&t->addresses->epoch, memory_order_acquire);
	const struct entity_list *targets = NULL;
	const struct upstream *u;
	uint64_t upstream_since, targets_since, names;
	uint32_t health;
	bool changed;

	rcu_enter();
	if (g->made && g->generation == generation && g->addresses_epoch == epoch &&
	    (!g->is_upstream || g->health_epoch == health_epoch(t->health, g->id)))
		return 0;
	u = upstream_by_name(&t->tables->entities, generation, g->host);
	if (u)
		targets = upstream_targets(&t->tables->entities, generation, u->entity.id);
	upstream_since = u ? u->entity.version.since : 0;
	targets_since = targets ? targets->version.since : 0;
	names = sign_names(g, t, u, targets);
	changed = !g->made || g->is_upstream != (u != NULL) ||
		  (u && memcmp(g->id, u->entity.id, sizeof(g->id)) != 0) ||
		  g->upstream_since != upstream_since;
	/* What is taken in halves is taken again next time; a name that is still unknown is asked
	 * for again. */
	if (changed || g->pending > 0 || g->targets_since != targets_since || g->names != names)
		g->made = false;
	if (!g->made && ((u && take_upstream(g, u) < 0) || make(g, t, u, targets) < 0))
		return -1;
	g->is_upstream = u != NULL;
	if (!u) {
		g->algorithm = ALGORITHM_ROUND_ROBIN;
		g->threshold = 0;
		g->may_panic = false;
	}
	health = u ? health_epoch(t->health, g->id) : 0;
	read_health(g, t);
	g->generation = generation;
	g->upstream_since = upstream_since;
	g->targets_since = targets_since;
	g->names = names;
	g->addresses_epoch = epoch;
	g->health_epoch = health;
	g->made = true;
	return 0;
}
