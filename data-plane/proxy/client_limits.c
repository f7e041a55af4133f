#include "data-plane/proxy/client_limits.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { STRIPES = 64, WAYS = 8 };
#define SECOND_NS 1000000000ULL

/* A token bucket kept as the time at which it will be full again (GCRA): behind us, it is full. */
struct bucket {
	uint64_t full_at;
};

struct client_entry {
	uint64_t key; /* 0: nobody */
	unsigned connections;
	struct bucket arrivals, requests;
};

/* Sets of WAYS entries; an address has its place in one of them. */
struct stripe {
	pthread_mutex_t lock;
	size_t sets;
	struct client_entry *entries;
};

struct client_limits {
	struct client_limits_options o;
	uint64_t seed[2];
	struct stripe stripes[STRIPES];
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

/* Who is counted as one, under the seed: 64 bits of it tell two clients apart well enough, and
 * nobody outside can choose two that collide. */
static uint64_t key_of(const struct client_limits *l, const struct addr *a)
{
	uint64_t word = 0;
	struct addr v = *a;

	addr_unmap(&v);
	if (v.u.sa.sa_family == AF_INET6)
		memcpy(&word, &v.u.in6.sin6_addr, sizeof(word));
	else
		word = v.u.in4.sin_addr.s_addr;
	word = mix(word ^ l->seed[0]) ^ l->seed[1];
	word = mix(word + (v.u.sa.sa_family == AF_INET6));
	return word ? word : 1;
}

static bool is_idle(const struct client_entry *c, uint64_t now)
{
	return c->connections == 0 && c->arrivals.full_at <= now && c->requests.full_at <= now;
}

/* The entry of a key, made when it is not there; NULL: no room. Under the stripe's lock. */
static struct client_entry *find(struct stripe *s, uint64_t key, uint64_t now)
{
	struct client_entry *set = &s->entries[key / STRIPES % s->sets * WAYS];
	struct client_entry *spare = NULL;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].key == 0 || is_idle(&set[i], now))
			spare = &set[i];
	}
	/* Without room, who only has used up tokens gives way: a flood of addresses must not hide
	 * those that hold connections. */
	for (size_t i = 0; !spare && i < WAYS; i++)
		if (set[i].connections == 0)
			spare = &set[i];
	if (spare)
		*spare = (struct client_entry){.key = key};
	return spare;
}

/* Takes a token of a bucket that gets `rate` of them per second and holds as many. Returns 0, or
 * the ns until there is one. */
static uint64_t take(struct bucket *b, unsigned rate, uint64_t now)
{
	uint64_t each = SECOND_NS / rate;
	uint64_t full_at = b->full_at > now ? b->full_at : now;

	if (full_at + each > now + SECOND_NS)
		return full_at + each - now - SECOND_NS;
	b->full_at = full_at + each;
	return 0;
}

static struct stripe *stripe_of(struct client_limits *l, uint64_t key)
{
	return &l->stripes[key % STRIPES];
}

enum client_verdict client_limits_enter(struct client_limits *l, const struct addr *a,
					uint64_t now_ns)
{
	enum client_verdict verdict = CLIENT_FREE;
	struct client_entry *c;
	struct stripe *s;
	uint64_t key;

	if (!l || (!l->o.connections && !l->o.connections_per_second))
		return CLIENT_FREE;
	key = key_of(l, a);
	s = stripe_of(l, key);
	pthread_mutex_lock(&s->lock);
	c = find(s, key, now_ns);
	if (c && l->o.connections && c->connections >= l->o.connections) {
		verdict = CLIENT_TOO_MANY;
	} else if (c && l->o.connections_per_second &&
		   take(&c->arrivals, l->o.connections_per_second, now_ns) > 0) {
		verdict = CLIENT_TOO_FAST;
	} else if (c && l->o.connections) {
		c->connections++;
		verdict = CLIENT_COUNTED;
	}
	pthread_mutex_unlock(&s->lock);
	return verdict;
}

void client_limits_leave(struct client_limits *l, const struct addr *a)
{
	uint64_t key = key_of(l, a);
	struct stripe *s = stripe_of(l, key);
	struct client_entry *c;

	pthread_mutex_lock(&s->lock);
	c = find(s, key, 0);
	/* It is there: nobody with connections gives way. */
	if (c && c->connections > 0)
		c->connections--;
	pthread_mutex_unlock(&s->lock);
}

unsigned client_limits_request(struct client_limits *l, const struct addr *a, uint64_t now_ns)
{
	uint64_t wait = 0, key;
	struct client_entry *c;
	struct stripe *s;

	if (!l || !l->o.requests_per_second)
		return 0;
	key = key_of(l, a);
	s = stripe_of(l, key);
	pthread_mutex_lock(&s->lock);
	c = find(s, key, now_ns);
	if (c)
		wait = take(&c->requests, l->o.requests_per_second, now_ns);
	pthread_mutex_unlock(&s->lock);
	return (unsigned)((wait + SECOND_NS - 1) / SECOND_NS);
}

static int make_stripe(struct stripe *s, size_t sets)
{
	s->sets = sets;
	s->entries = calloc(sets * WAYS, sizeof(s->entries[0]));
	if (!s->entries)
		return -1;
	if (pthread_mutex_init(&s->lock, NULL) == 0)
		return 0;
	free(s->entries);
	s->entries = NULL;
	return -1;
}

int client_limits_create(struct client_limits **out, const struct client_limits_options *o,
			 struct err *e)
{
	size_t sets = (o->addresses + (size_t)STRIPES * WAYS - 1) / ((size_t)STRIPES * WAYS);
	struct client_limits *l = NULL;

	if (!o->connections && !o->connections_per_second && !o->requests_per_second) {
		*out = NULL;
		return 0;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_memory(e, "limits of clients");
	l->o = *o;
	for (size_t i = 0; i < STRIPES; i++) {
		if (make_stripe(&l->stripes[i], sets ? sets : 1) < 0) {
			client_limits_free(l);
			return err_memory(e, "limits of clients");
		}
	}
	if (RAND_bytes((unsigned char *)l->seed, sizeof(l->seed)) != 1) {
		client_limits_free(l);
		return err_openssl(e, ERR_INTERNAL, "no random seed");
	}
	*out = l;
	return 0;
}

void client_limits_free(struct client_limits *l)
{
	for (size_t i = 0; l && i < STRIPES; i++) {
		if (!l->stripes[i].entries)
			continue;
		pthread_mutex_destroy(&l->stripes[i].lock);
		free(l->stripes[i].entries);
	}
	free(l);
}
