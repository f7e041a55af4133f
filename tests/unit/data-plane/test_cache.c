/* sync/cache: what is loaded is a whole revision or nothing, whatever happened to the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/log.h"
#include "data-plane/sync/cache.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/testchange.h"

static const char node_a[] = "aaaaaaaa-0000-4000-8000-000000000001";
static const char node_b[] = "bbbbbbbb-0000-4000-8000-000000000002";

/* What a load gave: the number of changes up to the last commit, and its revision. */
struct seen {
	char epoch[64];
	uint64_t revision;
	int changes, since_commit;
	int rollbacks;
	int fail_at; /* change that is refused; 0: none */
};

static struct {
	char folder[40], path[160], key[96], other_key[96];
	struct buf message;
} bed;

static int setup(void **state)
{
	(void)state;
	snprintf(bed.folder, sizeof(bed.folder), "/tmp/cardea-cache-XXXXXX");
	assert_non_null(mkdtemp(bed.folder));
	snprintf(bed.path, sizeof(bed.path), "%s/cache", bed.folder);
	snprintf(bed.key, sizeof(bed.key), "%s/cache.key", bed.folder);
	snprintf(bed.other_key, sizeof(bed.other_key), "%s/other.key", bed.folder);
	buf_init(&bed.message, 0);
	log_setup("test", LOG_CRIT, LOG_FORMAT_LOGFMT);
	return 0;
}

static int teardown(void **state)
{
	DIR *dir = opendir(bed.folder);
	struct dirent *entry;

	(void)state;
	buf_deinit(&bed.message);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
	closedir(dir);
	return rmdir(bed.folder);
}

static struct cache *open_cache(const char *node, const char *key, struct loop *l)
{
	const struct cache_conf c = {bed.folder, key, node, l};
	struct cache *cache;
	struct err e = ERR_INIT;

	if (cache_create(&cache, &c, &e) != 0)
		fail_msg("%s", e.message);
	return cache;
}

static int on_begin(struct str epoch, void *arg, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	snprintf(s->epoch, sizeof(s->epoch), "%.*s", (int)epoch.len, epoch.ptr);
	return 0;
}

static int on_change(struct str encoded, void *arg, struct err *e)
{
	struct seen *s = arg;

	if (encoded.len == 0)
		return err_set(e, ERR_INVALID, "empty");
	s->since_commit++;
	if (s->fail_at && s->changes + s->since_commit == s->fail_at)
		return err_set(e, ERR_INVALID, "refused");
	return 0;
}

static int on_commit(struct str epoch, uint64_t revision, void *arg, struct err *e)
{
	struct seen *s = arg;

	(void)e;
	assert_true(revision > s->revision); /* as apply asks */
	assert_string_equal(s->epoch, "epoch");
	assert_int_equal(epoch.len, 5);
	s->changes += s->since_commit;
	s->since_commit = 0;
	s->revision = revision;
	return 0;
}

static void on_rollback(void *arg)
{
	struct seen *s = arg;

	s->since_commit = 0;
	s->rollbacks++;
}

static int load(struct cache *c, struct seen *s)
{
	const struct cache_loader l = {on_begin, on_change, on_commit, on_rollback, s};
	struct err e = ERR_INIT;
	int rc = cache_load(c, &l, &e);

	assert_int_equal(s->since_commit, 0);
	if (rc != 0)
		assert_int_equal(e.kind, ERR_NOT_FOUND);
	return rc;
}

static int reload_as(const char *node, const char *key, struct seen *s)
{
	struct cache *c = open_cache(node, key, NULL);
	int rc;

	*s = (struct seen){.fail_at = s->fail_at};
	rc = load(c, s);
	cache_close(c, NULL, NULL);
	return rc;
}

static int reload(struct seen *s)
{
	return reload_as(node_a, bed.key, s);
}

static void add(struct cache *c, unsigned id)
{
	cache_change(c, testchange_sni(&bed.message, id, "a.example.com", 1));
}

/* Snapshot of 2 at revision 5, deltas of 1 at 6 and of 2 at 8. */
static void fill(struct cache *c)
{
	cache_begin_snapshot(c, STR("epoch"));
	add(c, 1);
	add(c, 2);
	cache_commit(c, 5);
	add(c, 3);
	cache_commit(c, 6);
	cache_change(c, testchange_removed(&bed.message, 3, "snis"));
	add(c, 4);
	cache_commit(c, 8);
}

static void make_file(void)
{
	struct cache *c = open_cache(node_a, bed.key, NULL);

	fill(c);
	cache_close(c, NULL, NULL);
}

static void test_round_trip(void **state)
{
	struct seen s = {0};
	struct cache *c;
	struct stat st;

	(void)state;
	assert_int_equal(reload(&s), -1); /* none yet */
	make_file();
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.changes, 5);
	assert_int_equal(s.revision, 8);
	assert_int_equal(stat(bed.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(bed.key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Appending after a load. */
	c = open_cache(node_a, bed.key, NULL);
	s = (struct seen){0};
	assert_int_equal(load(c, &s), 0);
	add(c, 6);
	cache_commit(c, 9);
	add(c, 7);
	cache_rollback(c);
	add(c, 8);
	cache_close(c, NULL, NULL); /* not committed: not there */
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.changes, 6);
	assert_int_equal(s.revision, 9);
}

static void test_rollback_of_snapshot(void **state)
{
	struct seen s = {0};
	struct cache *c;

	(void)state;
	make_file();
	c = open_cache(node_a, bed.key, NULL);
	assert_int_equal(load(c, &s), 0);
	cache_begin_snapshot(c, STR("other"));
	add(c, 1);
	cache_rollback(c);
	add(c, 9);
	cache_commit(c, 10);
	cache_begin_snapshot(c, STR("other"));
	cache_begin_snapshot(c, STR("other"));
	cache_close(c, NULL, NULL);
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.revision, 10);
}

static void read_file(struct buf *out)
{
	char bytes[4096];
	struct err e = ERR_INIT;
	int fd = open(bed.path, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		assert_int_equal(buf_add(out, bytes, (size_t)n, &e), 0);
	close(fd);
}

static void write_file(const char *bytes, size_t n)
{
	int fd = open(bed.path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

/* Only what was committed, and nothing in between. */
static void assert_whole(int rc, const struct seen *s)
{
	if (rc != 0) {
		assert_int_equal(s->revision, 0);
		return;
	}
	assert_true((s->revision == 5 && s->changes == 2) ||
		    (s->revision == 6 && s->changes == 3) || (s->revision == 8 && s->changes == 5));
}

static void test_every_byte_flipped(void **state)
{
	struct buf file = BUF_INIT;

	(void)state;
	make_file();
	read_file(&file);
	for (size_t i = 0; i < file.len; i++) {
		struct seen s = {0};

		file.data[i] = (char)(file.data[i] ^ (1 << (i % 8)));
		write_file(file.data, file.len);
		file.data[i] = (char)(file.data[i] ^ (1 << (i % 8)));
		assert_whole(reload(&s), &s);
		assert_int_not_equal(s.revision, 8); /* noticed */
	}
	buf_deinit(&file);
}

static void test_every_length(void **state)
{
	struct buf file = BUF_INIT;
	uint64_t last = 0;

	(void)state;
	make_file();
	read_file(&file);
	for (size_t n = 0; n <= file.len; n++) {
		struct seen s = {0};

		write_file(file.data, n);
		assert_whole(reload(&s), &s);
		assert_true(s.revision >= last); /* never less than a shorter file held */
		last = s.revision;
	}
	assert_int_equal(last, 8);
	buf_deinit(&file);
}

/* After damage the file is cut at the last whole revision, and goes on from there. */
static void test_goes_on_after_damage(void **state)
{
	struct buf file = BUF_INIT;
	struct seen s = {0};
	struct cache *c;

	(void)state;
	make_file();
	read_file(&file);
	write_file(file.data, file.len - 1);
	c = open_cache(node_a, bed.key, NULL);
	assert_int_equal(load(c, &s), 0);
	assert_int_equal(s.revision, 6);
	assert_int_equal(s.rollbacks, 1);
	add(c, 9);
	cache_commit(c, 12);
	cache_close(c, NULL, NULL);
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.revision, 12);
	assert_int_equal(s.changes, 4);
	buf_deinit(&file);
}

static void test_foreign(void **state)
{
	struct buf file = BUF_INIT;
	struct seen s = {0};

	(void)state;
	make_file();
	assert_int_equal(reload_as(node_b, bed.key, &s), -1);
	assert_int_equal(reload_as(node_a, bed.other_key, &s), -1);
	assert_int_equal(reload(&s), 0); /* looking did not change it */
	read_file(&file);
	file.data[11] = 9; /* format */
	write_file(file.data, file.len);
	assert_int_equal(reload(&s), -1);
	write_file("hello", 5);
	assert_int_equal(reload(&s), -1);
	assert_int_equal(unlink(bed.path), 0);
	assert_int_equal(symlink("/etc/passwd", bed.path), 0);
	assert_int_equal(reload(&s), -1);
	assert_int_equal(unlink(bed.path), 0);
	assert_int_equal(mkdir(bed.path, 0700), 0);
	assert_int_equal(reload(&s), -1);
	assert_int_equal(rmdir(bed.path), 0);
	buf_deinit(&file);
}

/* A chunk of the same file in another place does not open either. */
static void test_chunks_swapped(void **state)
{
	struct buf file = BUF_INIT, out = BUF_INIT;
	struct seen s = {0};
	struct err e = ERR_INIT;
	size_t header = 8 + 4 + 36 + 32 + 4 + 5;
	size_t sizes[3], at = header;

	(void)state;
	make_file();
	read_file(&file);
	for (int i = 0; i < 3; i++) {
		sizes[i] = 4 + 12 + 16 +
			   ((size_t)(unsigned char)buf_str(&file).ptr[at + 2] << 8 |
			    (unsigned char)buf_str(&file).ptr[at + 3]);
		at += sizes[i];
	}
	assert_int_equal(at, file.len);
	/* header, first, third, second */
	assert_int_equal(buf_add(&out, file.data, header + sizes[0], &e), 0);
	assert_int_equal(buf_add(&out, file.data + header + sizes[0] + sizes[1], sizes[2], &e), 0);
	assert_int_equal(buf_add(&out, file.data + header + sizes[0], sizes[1], &e), 0);
	write_file(out.data, out.len);
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.revision, 5);
	buf_deinit(&file);
	buf_deinit(&out);
}

static void test_refused_by_apply(void **state)
{
	struct seen s = {.fail_at = 1};

	(void)state;
	make_file();
	assert_int_equal(reload(&s), -1);
	s.fail_at = 4;
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.revision, 6);
}

static void test_compaction(void **state)
{
	struct cache *c = open_cache(node_a, bed.key, NULL);
	struct cache_stats stats;
	struct seen s = {0};
	char name[256];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[200] = '\0';
	cache_begin_snapshot(c, STR("epoch"));
	for (unsigned i = 1; i <= 20; i++)
		add(c, i);
	cache_commit(c, 1);
	for (uint64_t r = 2; r < 9000; r++) {
		cache_change(c, testchange_sni(&bed.message, (unsigned)(r % 30 + 1), name, 1));
		cache_commit(c, r);
	}
	cache_change(c, testchange_removed(&bed.message, 7, "snis"));
	cache_commit(c, 9000);
	cache_stats(c, &stats);
	assert_true(stats.rewrites > 1);
	assert_true(stats.size < 2 << 20);
	assert_int_equal(stats.failed, 0);
	assert_false(stats.behind);
	cache_close(c, NULL, NULL);
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.revision, 9000);
}

static bool closed;

static void on_closed(void *arg)
{
	(void)arg;
	closed = true;
}

/* With a loop, fsync, rename and compaction run on the pool while deltas go on. */
static void test_background(void **state)
{
	struct loop_fixture f;
	struct cache_stats stats = {0};
	struct seen s = {0};
	struct cache *c;
	char name[256];
	uint64_t r = 9;

	(void)state;
	memset(name, 'a', sizeof(name));
	name[200] = '\0';
	fixture_init(&f);
	c = open_cache(node_a, bed.key, &f.loop);
	fill(c);
	run_until(&f, (cache_stats(c, &stats), stats.rewrites == 1));
	for (; stats.rewrites < 3; r++) {
		cache_change(c, testchange_sni(&bed.message, (unsigned)(r % 30 + 1), name, 1));
		if (r % 64 == 0) /* also while a delta is open */
			fixture_spin(&f, 1);
		cache_commit(c, r);
		cache_stats(c, &stats);
	}
	closed = false;
	cache_close(c, on_closed, NULL);
	run_until(&f, closed);
	fixture_deinit(&f);
	assert_int_equal(stats.failed, 0);
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.revision, r - 1);
}

/* Serving goes on when the disk does not: failures are counted, and made good for later. */
static void test_write_fails(void **state)
{
	struct cache *c = open_cache(node_a, bed.key, NULL);
	struct cache_stats stats;
	struct seen s = {0};
	int full = open("/dev/full", O_WRONLY);
	int good, fd = -1;

	(void)state;
	fill(c);
	for (int i = 3; fd < 0 && i < 64; i++) { /* the cache's descriptor */
		char link[64], target[256];
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", i);
		n = readlink(link, target, sizeof(target) - 1);
		if (n > 0 && (size_t)n >= strlen(bed.folder) &&
		    memcmp(target, bed.folder, strlen(bed.folder)) == 0)
			fd = i;
	}
	assert_true(fd >= 0);
	good = dup(fd);
	assert_int_equal(dup2(full, fd), fd);
	add(c, 9);
	cache_commit(c, 9);
	cache_stats(c, &stats);
	assert_true(stats.failed > 0);
	assert_true(stats.behind);
	assert_int_equal(dup2(good, fd), fd);
	close(good);
	close(full);
	add(c, 10);
	cache_commit(c, 10);
	cache_close(c, NULL, NULL);
	/* /dev/full cannot be cut, so the cache gave up: what it holds is whole, only older. */
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.revision, 8);
	assert_int_equal(s.changes, 5);
}

/* Returns the file's size. */
static uint64_t commit_one(struct cache *c, unsigned revision, uint64_t room, bool behind)
{
	struct rlimit limit = {.rlim_cur = room, .rlim_max = RLIM_INFINITY};
	struct cache_stats stats;

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	add(c, revision);
	cache_commit(c, revision);
	cache_stats(c, &stats);
	assert_int_equal(stats.behind, behind);
	return stats.size;
}

/* Space comes back for one of the revisions that wait, then for the rest: each is written once. */
static void test_space_comes_back_slowly(void **state)
{
	struct cache *c = open_cache(node_a, bed.key, NULL);
	struct seen s = {0};
	uint64_t size, one;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	fill(c);
	size = commit_one(c, 9, RLIM_INFINITY, false);
	one = commit_one(c, 10, RLIM_INFINITY, false) - size;
	assert_int_equal(commit_one(c, 11, size + one, true), size + one);
	assert_int_equal(commit_one(c, 12, size + 2 * one, true), size + 2 * one);
	assert_int_equal(commit_one(c, 13, RLIM_INFINITY, false), size + 4 * one);
	cache_close(c, NULL, NULL);
	assert_int_equal(reload(&s), 0);
	assert_int_equal(s.revision, 13);
	assert_int_equal(s.changes, 5 + 5);
}

static void test_no_folder(void **state)
{
	struct cache *c = open_cache(node_a, bed.key, NULL);
	struct cache_stats stats;

	(void)state;
	snprintf(bed.path, sizeof(bed.path), "%s.gone", bed.folder);
	assert_int_equal(rename(bed.folder, bed.path), 0);
	fill(c);
	cache_stats(c, &stats);
	assert_true(stats.failed > 0);
	cache_close(c, NULL, NULL);
	assert_int_equal(rename(bed.path, bed.folder), 0);
}

static void test_key_file(void **state)
{
	const struct cache_conf c = {bed.folder, bed.key, node_a, NULL};
	struct cache *cache;
	struct err e = ERR_INIT;
	int fd;

	(void)state;
	make_file();
	assert_int_equal(chmod(bed.key, 0640), 0);
	assert_int_equal(cache_create(&cache, &c, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
	assert_int_equal(chmod(bed.key, 0600), 0);
	fd = open(bed.key, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	assert_int_equal(cache_create(&cache, &c, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_int_equal(truncate(bed.key, 31), 0);
	assert_int_equal(cache_create(&cache, &c, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rollback_of_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_byte_flipped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_after_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chunks_swapped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_by_apply, setup, teardown),
		cmocka_unit_test_setup_teardown(test_compaction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_background, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_space_comes_back_slowly, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
