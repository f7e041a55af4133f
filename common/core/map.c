#include "common/core/map.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 16 };

/* key == NULL and value == NULL: free; key == NULL and value == tombstone: removed. */
struct map_entry {
	char *key;
	size_t len;
	uint64_t hash;
	void *value;
};

static char tombstone;

static uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein), the variant that Rust and Ruby use for their tables. */
static uint64_t hash_of(const uint64_t seed[2], struct str key)
{
	uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575ULL, seed[1] ^ 0x646f72616e646f6dULL,
			 seed[0] ^ 0x6c7967656e657261ULL, seed[1] ^ 0x7465646279746573ULL};
	uint64_t word;
	size_t at = 0;

	for (; key.len - at >= 8; at += 8) {
		memcpy(&word, key.ptr + at, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)key.len << 56;
	for (size_t i = 0; at + i < key.len; i++)
		word |= (uint64_t)(unsigned char)key.ptr[at + i] << (8 * i);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m)
{
	*m = (struct map){NULL, 0, 0, 0, {0, 0}};
	/* Without randomness the map still works, only its order can be guessed. */
	if (RAND_bytes((unsigned char *)m->seed, sizeof(m->seed)) != 1)
		m->seed[0] = (uint64_t)(uintptr_t)m;
}

void map_deinit(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->entries[i].key);
	free(m->entries);
	m->entries = NULL;
	m->cap = m->used = m->count = 0;
}

static struct map_entry *find(const struct map *m, struct str key, uint64_t hash)
{
	if (m->cap == 0)
		return NULL;
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_entry *e = &m->entries[i];

		if (!e->key && !e->value)
			return NULL;
		if (e->key && e->hash == hash &&
		    str_eq((struct str){e->key, e->len}, key)) /* not secret */
			return e;
	}
}

void *map_get(const struct map *m, struct str key)
{
	const struct map_entry *e = m->count ? find(m, key, hash_of(m->seed, key)) : NULL;

	return e ? e->value : NULL;
}

static struct map_entry *free_slot(struct map_entry *entries, size_t cap, uint64_t hash)
{
	size_t i = hash & (cap - 1);

	while (entries[i].key)
		i = (i + 1) & (cap - 1);
	return &entries[i];
}

static int rehash(struct map *m, struct err *e)
{
	size_t cap = m->cap && m->count < m->cap / 2 ? m->cap : (m->cap ? m->cap * 2 : FIRST_CAP);
	struct map_entry *entries = calloc(cap, sizeof(*entries));

	if (!entries)
		return err_memory(e, "growing a map");
	for (size_t i = 0; i < m->cap; i++)
		if (m->entries[i].key)
			*free_slot(entries, cap, m->entries[i].hash) = m->entries[i];
	free(m->entries);
	m->entries = entries;
	m->cap = cap;
	m->used = m->count;
	return 0;
}

int map_put(struct map *m, struct str key, void *value, void **old, struct err *e)
{
	uint64_t hash = hash_of(m->seed, key);
	struct map_entry *at = find(m, key, hash);
	char *copy;

	if (at) {
		if (old)
			*old = at->value;
		at->value = value;
		return 0;
	}
	if ((m->used + 1) * 4 > m->cap * 3 && rehash(m, e) < 0)
		return -1;
	copy = str_dup(key);
	if (!copy)
		return err_memory(e, "copying a map key");
	at = free_slot(m->entries, m->cap, hash);
	if (!at->value)
		m->used++;
	*at = (struct map_entry){copy, key.len, hash, value};
	m->count++;
	if (old)
		*old = NULL;
	return 0;
}

void *map_remove(struct map *m, struct str key)
{
	struct map_entry *at = m->count ? find(m, key, hash_of(m->seed, key)) : NULL;
	void *value;

	if (!at)
		return NULL;
	value = at->value;
	free(at->key);
	*at = (struct map_entry){NULL, 0, 0, &tombstone};
	m->count--;
	return value;
}

bool map_next(const struct map *m, size_t *pos, struct str *key, void **value)
{
	for (; *pos < m->cap; (*pos)++) {
		const struct map_entry *at = &m->entries[*pos];

		if (!at->key)
			continue;
		if (key)
			*key = (struct str){at->key, at->len};
		if (value)
			*value = at->value;
		(*pos)++;
		return true;
	}
	return false;
}
