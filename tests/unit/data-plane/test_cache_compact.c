/* sync/cache_compact: that an entity is held back lies beside its last version, until it changes.
 */
#include "data-plane/sync/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-plane/sync/decode.h"
#include "tests/unit/lib/testchange.h"

static const char node[] = "aaaaaaaa-0000-4000-8000-000000000001";

/* The letters of a load: an sni's id as a letter; in upper case that it is held back. */
struct seen {
	char changes[64];
	uint64_t revision;
};

static int on_begin(struct str epoch, void *arg, struct err *e)
{
	(void)epoch;
	(void)arg;
	(void)e;
	return 0;
}

static int on_change(struct str encoded, void *arg, struct err *e)
{
	struct seen *s = arg;
	struct plane_message m;
	size_t n = strlen(s->changes);

	if (plane_change_decode(&m, encoded, e) != 0)
		return -1;
	assert_true(n + 1 < sizeof(s->changes));
	s->changes[n] = (char)((m.change.held ? 'A' : 'a') + m.change.id[0]);
	plane_message_free(&m);
	return 0;
}

static int on_commit(struct str epoch, uint64_t revision, void *arg, struct err *e)
{
	(void)epoch;
	(void)e;
	((struct seen *)arg)->revision = revision;
	return 0;
}

static void on_rollback(void *arg)
{
	(void)arg;
	fail();
}

static struct cache *open_cache(const char *folder)
{
	char key[64];
	const struct cache_conf c = {folder, key, node, NULL};
	struct cache *cache;
	struct err e = ERR_INIT;

	snprintf(key, sizeof(key), "%s/key", folder);
	if (cache_create(&cache, &c, &e) != 0)
		fail_msg("%s", e.message);
	return cache;
}

static void remove_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	closedir(dir);
	assert_int_equal(rmdir(folder), 0);
}

static void test_held(void **state)
{
	char folder[] = "/tmp/cardea-compact-XXXXXX";
	struct buf b = BUF_INIT;
	struct cache_stats stats = {0};
	struct seen s = {.changes = ""};
	const struct cache_loader l = {on_begin, on_change, on_commit, on_rollback, &s};
	struct cache *c;
	uint64_t r = 1;
	struct err e = ERR_INIT;
	char name[200];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_non_null(mkdtemp(folder));
	c = open_cache(folder);
	cache_begin_snapshot(c, STR("epoch"));
	for (unsigned i = 0; i < 5; i++)
		cache_change(c, testchange_sni(&b, i, name, 1));
	cache_commit(c, r);
	/* b stays held back; c changes again, d goes, f never was here. */
	cache_change(c, testchange_held(&b, 1, "snis"));
	cache_change(c, testchange_held(&b, 2, "snis"));
	cache_change(c, testchange_held(&b, 3, "snis"));
	cache_change(c, testchange_held(&b, 5, "snis"));
	cache_commit(c, ++r);
	cache_change(c, testchange_sni(&b, 2, name, 1));
	cache_change(c, testchange_removed(&b, 3, "snis"));
	cache_commit(c, ++r);
	while (stats.rewrites < 2) { /* the first is the snapshot */
		cache_change(c, testchange_sni(&b, 0, name, 1));
		cache_commit(c, ++r);
		cache_stats(c, &stats);
		assert_true(r < 100000);
	}
	cache_close(c, NULL, NULL);
	c = open_cache(folder);
	if (cache_load(c, &l, &e) != 0)
		fail_msg("%s", e.message);
	assert_int_equal(s.revision, r);
	assert_string_equal(s.changes, "beBFca");
	cache_close(c, NULL, NULL);
	buf_deinit(&b);
	remove_folder(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_held)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
