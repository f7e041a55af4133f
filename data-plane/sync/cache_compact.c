#include "data-plane/sync/cache_compact.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/core/map.h"

enum { KEY_SIZE = 1 + 16, HELD = 0x80 };

struct cache_compact {
	char *path, *temp;
	struct cache_id id;
	unsigned char digest[CACHE_DIGEST_SIZE]; /* of the file this is about */
	uint64_t limit;
	struct cache_file from, to;
	struct map last; /* kind and id to the number of the last record about it */
	uintptr_t number;
	uint64_t revision, base;
};

int cache_compact_create(struct cache_compact **out, const char *path, const char *temp,
			 const struct cache_id *id, const struct cache_file *now, struct err *e)
{
	struct cache_compact *k = calloc(1, sizeof(*k));

	if (!k)
		return err_memory(e, "compacting the cache");
	k->from.fd = k->to.fd = -1;
	k->path = str_dup(str_from(path));
	k->temp = str_dup(str_from(temp));
	k->id = *id;
	k->limit = now->committed_size;
	memcpy(k->digest, now->digest, sizeof(k->digest));
	map_init(&k->last);
	if (!k->path || !k->temp) {
		cache_compact_free(k);
		return err_memory(e, "compacting the cache");
	}
	*out = k;
	return 0;
}

void cache_compact_free(struct cache_compact *k)
{
	if (!k)
		return;
	if (k->from.fd >= 0)
		cache_file_close(&k->from);
	if (k->to.fd >= 0) {
		unlink(k->temp);
		cache_file_close(&k->to);
	}
	map_deinit(&k->last);
	OPENSSL_cleanse(&k->id, sizeof(k->id));
	free(k->path);
	free(k->temp);
	free(k);
}

static int key_of(struct str encoded, char key[KEY_SIZE], bool *removed, struct err *e)
{
	struct plane_message m;

	if (plane_change_decode(&m, encoded, e) != 0)
		return -1;
	/* That it is held back is a record beside its last version. */
	key[0] = (char)(m.change.kind | (m.change.held ? HELD : 0U));
	memcpy(key + 1, m.change.id, 16);
	*removed = m.change.removed;
	plane_message_free(&m);
	return 0;
}

static int note(enum cache_record type, struct str bytes, void *arg, struct err *e)
{
	struct cache_compact *k = arg;
	char key[KEY_SIZE];
	bool removed;

	if (type == CACHE_COMMIT)
		return cache_revision_get(bytes, &k->revision, e);
	k->number++;
	if (key_of(bytes, key, &removed, e) != 0)
		return -1;
	if (!((unsigned char)key[0] & HELD)) {
		key[0] = (char)(key[0] | (char)HELD);
		(void)map_remove(&k->last, (struct str){key, KEY_SIZE});
		key[0] = (char)(key[0] & ~HELD);
	}
	if (removed) {
		map_remove(&k->last, (struct str){key, KEY_SIZE});
		return 0;
	}
	return map_put(&k->last, (struct str){key, KEY_SIZE}, (void *)k->number, NULL, e);
}

static int copy_live(enum cache_record type, struct str bytes, void *arg, struct err *e)
{
	struct cache_compact *k = arg;
	char key[KEY_SIZE];
	bool removed;

	if (type == CACHE_COMMIT)
		return 0;
	k->number++;
	if (key_of(bytes, key, &removed, e) != 0)
		return -1;
	if (map_get(&k->last, (struct str){key, KEY_SIZE}) != (void *)k->number)
		return 0;
	return cache_file_add(&k->to, CACHE_CHANGE, bytes, e);
}

int cache_compact_run(struct cache_compact *k, struct err *e)
{
	unsigned char revision[8];

	if (cache_file_open(&k->from, k->path, &k->id, e) != 0)
		return -1;
	if (memcmp(k->from.digest, k->digest, sizeof(k->digest)) != 0)
		return err_set(e, ERR_CONFLICT, "cache was replaced meanwhile");
	if (cache_file_read(&k->from, k->limit, note, k, e) != 0)
		return -1;
	cache_file_rewind(&k->from);
	k->number = 0;
	if (cache_file_create(&k->to, k->temp, &k->id, str_from(k->from.epoch), e) != 0 ||
	    cache_file_read(&k->from, k->limit, copy_live, k, e) != 0)
		return -1;
	cache_revision_put(revision, k->revision);
	if (cache_file_add(&k->to, CACHE_COMMIT, (struct str){(const char *)revision, 8}, e) != 0)
		return -1;
	k->base = k->to.size;
	return 0;
}

bool cache_compact_is_of(const struct cache_compact *k, const struct cache_file *now)
{
	return now->fd >= 0 && memcmp(k->digest, now->digest, sizeof(k->digest)) == 0;
}

static int copy_all(enum cache_record type, struct str bytes, void *arg, struct err *e)
{
	struct cache_compact *k = arg;

	return cache_file_add(&k->to, type, bytes, e);
}

int cache_compact_finish(struct cache_compact *k, uint64_t committed, struct err *e)
{
	if (k->from.size >= committed)
		return 0;
	return cache_file_read(&k->from, committed, copy_all, k, e);
}

void cache_compact_take(struct cache_compact *k, struct cache_file *out, char *temp,
			size_t temp_size, uint64_t *base)
{
	*out = k->to;
	k->to = (struct cache_file){.fd = -1};
	snprintf(temp, temp_size, "%s", k->temp);
	*base = k->base;
}
