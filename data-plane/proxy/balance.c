#include "data-plane/proxy/balance.h"

#include <math.h>

static const double forget_ns = 10e9; /* Kong's decay time of its ewma: 10 s */

uint64_t balance_hash(struct str bytes, uint64_t seed)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ seed;

	for (size_t i = 0; i < bytes.len; i++)
		h = (h ^ (unsigned char)bytes.ptr[i]) * 0x100000001b3ULL;
	return h;
}

/* splitmix64's finisher. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

uint64_t balance_random(struct balance *b)
{
	b->random += 0x9e3779b97f4a7c15ULL;
	return mix(b->random);
}

static bool may_take(const struct balance_item *i, const struct balance_query *q)
{
	return i->usable && i->weight > 0 && !(q->tried && q->tried(i, q->arg));
}

/* --- round robin, smooth: as nginx does it --- */

static struct balance_item *pick_round_robin(struct balance *b, const struct balance_query *q)
{
	struct balance_item *best = NULL;
	int64_t total = 0;

	for (size_t n = 0; n < b->count; n++) {
		struct balance_item *i = b->items[n];

		if (!may_take(i, q))
			continue;
		i->current += i->weight;
		total += i->weight;
		if (!best || i->current > best->current)
			best = i;
	}
	if (best)
		best->current -= total;
	return best;
}

/* --- least connections: fewest for its weight; round robin among equals --- */

static bool is_busier(const struct balance_item *a, const struct balance_item *b)
{
	return (uint64_t)a->busy * b->weight > (uint64_t)b->busy * a->weight;
}

static struct balance_item *pick_least(struct balance *b, const struct balance_query *q)
{
	struct balance_item *least = NULL, *best = NULL;
	int64_t total = 0;

	for (size_t n = 0; n < b->count; n++)
		if (may_take(b->items[n], q) && (!least || is_busier(least, b->items[n])))
			least = b->items[n];
	for (size_t n = 0; least && n < b->count; n++) {
		struct balance_item *i = b->items[n];

		if (!may_take(i, q) || is_busier(i, least))
			continue;
		i->current += i->weight;
		total += i->weight;
		if (!best || i->current > best->current)
			best = i;
	}
	if (best)
		best->current -= total;
	return best;
}

/* --- latency: the better of two at random (Kong's), what is under way counted in --- */

void balance_measured(struct balance_item *i, double ms, uint64_t now_ns)
{
	double age = now_ns > i->latest_ns ? (double)(now_ns - i->latest_ns) : 0;
	double keep = i->latency_ms > 0 ? exp(-age / forget_ns) : 0;

	/* Nothing is answered in no time; 0 means not measured. */
	ms = ms > 0.01 ? ms : 0.01;
	/* Also within one moment a new figure counts. */
	keep = keep < 0.9 ? keep : 0.9;
	i->latency_ms = i->latency_ms * keep + ms * (1 - keep);
	i->latest_ns = now_ns;
}

/* An address that was never measured takes the mean of those that were, so that it is neither
 * flooded nor left out. */
static double score(const struct balance_item *i, double mean)
{
	double ms = i->latency_ms > 0 ? i->latency_ms : mean;

	return ms * (i->busy + 1) / i->weight;
}

static struct balance_item *nth(const struct balance *b, const struct balance_query *q, size_t n)
{
	for (size_t k = 0; k < b->count; k++)
		if (may_take(b->items[k], q) && n-- == 0)
			return b->items[k];
	return NULL;
}

static struct balance_item *pick_latency(struct balance *b, const struct balance_query *q)
{
	size_t usable = 0, measured = 0, first, second;
	struct balance_item *x, *y;
	double sum = 0, mean;

	for (size_t n = 0; n < b->count; n++) {
		if (!may_take(b->items[n], q))
			continue;
		usable++;
		measured += b->items[n]->latency_ms > 0;
		sum += b->items[n]->latency_ms;
	}
	if (usable == 0)
		return NULL;
	mean = measured > 0 ? sum / (double)measured : 1;
	first = balance_random(b) % usable;
	if (usable == 1)
		return nth(b, q, first);
	second = (first + 1 + balance_random(b) % (usable - 1)) % usable;
	x = nth(b, q, first);
	y = nth(b, q, second);
	return score(y, mean) < score(x, mean) ? y : x;
}

/* --- consistent hashing: highest random weight ---
 *
 * Each item draws a number out of the request's hash and its own key, and the one that drew best
 * for its weight has the request. So exactly the keys of what goes are moved, and they spread over
 * all others by weight; a ring of `slots` would do it about, and would have to be made again. */

static double draw(uint64_t hash, const struct balance_item *i)
{
	/* (0, 1] */
	double u = ((double)(mix(hash ^ mix(i->key)) >> 11) + 1) * 0x1p-53;

	return -log(u) / i->weight;
}

static bool weights_differ(const struct balance *b)
{
	for (size_t n = 1; n < b->count; n++)
		if (b->items[n]->weight != b->items[0]->weight)
			return true;
	return false;
}

static struct balance_item *pick_hash(struct balance *b, const struct balance_query *q)
{
	bool weighted = weights_differ(b);
	struct balance_item *best = NULL;
	double best_draw = 0;
	uint64_t best_hash = 0;

	for (size_t n = 0; n < b->count; n++) {
		struct balance_item *i = b->items[n];
		double d;
		uint64_t h;

		if (!may_take(i, q))
			continue;
		/* Of equal weights the larger number wins: its logarithm is not needed. */
		h = weighted ? 0 : mix(q->hash ^ mix(i->key));
		d = weighted ? draw(q->hash, i) : 0;
		if (best && (weighted ? d >= best_draw : h <= best_hash))
			continue;
		best = i;
		best_draw = d;
		best_hash = h;
	}
	return best;
}

static const struct balance_type round_robin = {"round-robin", pick_round_robin};
static const struct balance_type least_connections = {"least-connections", pick_least};
static const struct balance_type consistent_hashing = {"consistent-hashing", pick_hash};
static const struct balance_type latency = {"latency", pick_latency};

const struct balance_type *const balance_types[ALGORITHMS] = {
	[ALGORITHM_ROUND_ROBIN] = &round_robin,
	[ALGORITHM_LEAST_CONNECTIONS] = &least_connections,
	[ALGORITHM_CONSISTENT_HASHING] = &consistent_hashing,
	[ALGORITHM_LATENCY] = &latency,
};

struct balance_item *balance_pick(struct balance *b, enum upstream_algorithm a,
				  const struct balance_query *q)
{
	struct balance_query all = *q;
	struct balance_item *i = balance_types[a]->pick(b, q);

	if (i || !q->tried)
		return i;
	all.tried = NULL;
	/* cppcheck-suppress returnDanglingLifetime ; it points into b */
	return balance_types[a]->pick(b, &all);
}
