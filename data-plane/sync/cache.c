#include "data-plane/sync/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/core/log.h"
#include "data-plane/sync/cache_compact.h"
#include "data-plane/sync/cache_file.h"

enum {
	PENDING_KEEP = 4 << 20,	 /* of a delta in memory; more is written before its commit */
	PENDING_MAX = 64 << 20,	 /* of deltas that could not be written yet */
	COMPACT_SLACK = 1 << 20, /* a small cache is not rewritten all the time */
	PATH_SIZE = 4096,
};

/* A file and where it is. */
struct slot {
	struct cache_file file;
	char temp[PATH_SIZE]; /* "" once it is at cache->path */
	uint64_t base;	      /* bytes of its first revision */
};

struct cache {
	struct cache_id id;
	char folder[PATH_SIZE], path[PATH_SIZE];
	struct loop *loop;
	struct slot now;  /* holds the last commit; fd -1: no file */
	struct slot next; /* snapshot that is coming in; fd -1: none */
	bool snapshot, snapshot_failed;
	struct buf pending;	  /* records of deltas that are not in the file; secret */
	size_t pending_committed; /* of pending: whole revisions, to be tried again */
	size_t pending_written;	  /* of those: in the file, while the others are written */
	bool spilled;		  /* part of the open delta is in the file already */
	bool broken;		  /* the file misses a revision: nothing is appended any more */
	unsigned temp_count;

	/* One work at a time: finish (fsync and rename) or compact. */
	struct work work;
	bool working, closing;
	int finish_fd;
	char finish_temp[PATH_SIZE];
	struct err work_err;
	struct cache_compact *compact; /* NULL: the work is a finish */

	struct cache_stats stats;
	void (*closed)(void *arg);
	void *closed_arg;
};

static void failed(struct cache *c, const struct err *e)
{
	c->stats.failed++;
	log_error("cache write failed", log_err(e), log_str("path", c->path));
}

/* --- making --- */

static int key_read(int fd, unsigned char key[CACHE_KEY_SIZE], const char *file, struct err *e)
{
	struct stat st;
	unsigned char extra[CACHE_KEY_SIZE + 1];
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "cache key %s", file);
	if (st.st_mode & 077)
		return err_set(e, ERR_DENIED,
			       "cache key %s: others may read it (mode %o), 0600 is "
			       "required",
			       file, (unsigned)st.st_mode & 0777);
	n = read(fd, extra, sizeof(extra));
	if (n != CACHE_KEY_SIZE)
		err_set(e, ERR_INVALID, "cache key %s: must have %d bytes", file, CACHE_KEY_SIZE);
	else
		memcpy(key, extra, CACHE_KEY_SIZE);
	OPENSSL_cleanse(extra, sizeof(extra));
	return n == CACHE_KEY_SIZE ? 0 : -1;
}

static int key_make(unsigned char key[CACHE_KEY_SIZE], const char *file, struct err *e)
{
	int fd;
	ssize_t n;

	if (RAND_bytes(key, CACHE_KEY_SIZE) != 1)
		return err_openssl(e, ERR_INTERNAL, "no random cache key");
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "cache key %s cannot be made", file);
	n = write(fd, key, CACHE_KEY_SIZE);
	if (n == CACHE_KEY_SIZE && fsync(fd) == 0) {
		close(fd);
		return 0;
	}
	err_errno(e, ERR_UNAVAILABLE, n < 0 ? errno : ENOSPC, "cache key %s cannot be written",
		  file);
	close(fd);
	unlink(file);
	return -1;
}

static int key_load(unsigned char key[CACHE_KEY_SIZE], const char *file, struct err *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0 && errno == ENOENT)
		return key_make(key, file, e);
	if (fd < 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "cache key %s", file);
	rc = key_read(fd, key, file, e);
	close(fd);
	return rc;
}

int cache_create(struct cache **out, const struct cache_conf *conf, struct err *e)
{
	struct cache *c;

	if (strlen(conf->folder) > PATH_SIZE - 64)
		return err_set(e, ERR_INVALID, "prefix is too long");
	if (strlen(conf->node_id) != CACHE_NODE_ID_SIZE)
		return err_set(e, ERR_INVALID, "node id is not a UUID");
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_memory(e, "making the cache");
	c->loop = conf->loop;
	c->now.file.fd = c->next.file.fd = c->finish_fd = -1;
	buf_init(&c->pending, PENDING_MAX);
	c->pending.secret = true;
	memcpy(c->id.node_id, conf->node_id, CACHE_NODE_ID_SIZE);
	snprintf(c->folder, sizeof(c->folder), "%s", conf->folder);
	snprintf(c->path, sizeof(c->path), "%.*s/cache", PATH_SIZE - 64, conf->folder);
	if (key_load(c->id.key, conf->key_file, e) != 0) {
		free(c);
		return -1;
	}
	*out = c;
	return 0;
}

static void slot_close(struct slot *s)
{
	if (s->file.fd >= 0 && s->temp[0])
		unlink(s->temp);
	if (s->file.fd >= 0)
		cache_file_close(&s->file);
	s->temp[0] = '\0';
}

static void temp_path(struct cache *c, char out[PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%.*s/cache.%u.new", PATH_SIZE - 64, c->folder, c->temp_count++);
}

/* --- background work --- */

static int rename_durably(int fd, const char *from, const char *to, const char *folder,
			  struct err *e)
{
	int dir;
	int rc = 0;

	if (fsync(fd) != 0 || rename(from, to) != 0)
		return err_errno(e, ERR_UNAVAILABLE, errno, "cache %s", to);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) != 0)
		rc = err_errno(e, ERR_UNAVAILABLE, errno, "folder %s", folder);
	if (dir >= 0)
		close(dir);
	return rc;
}

/* thread: pool */
static void work_run(struct work *w)
{
	struct cache *c = container_of(w, struct cache, work);
	int rc;

	err_clear(&c->work_err);
	rc = c->compact ? cache_compact_run(c->compact, &c->work_err)
			: rename_durably(c->finish_fd, c->finish_temp, c->path, c->folder,
					 &c->work_err);
	(void)rc; /* work_err says it */
}

static void work_next(struct cache *c);
static void work_done(struct work *w);

static void cache_free(struct cache *c)
{
	struct err e = ERR_INIT;
	void (*closed)(void *arg) = c->closed;
	void *arg = c->closed_arg;

	if (c->now.file.fd >= 0 && c->now.temp[0] && c->now.file.committed_size &&
	    rename_durably(c->now.file.fd, c->now.temp, c->path, c->folder, &e) == 0)
		c->now.temp[0] = '\0';
	slot_close(&c->now);
	slot_close(&c->next);
	buf_deinit(&c->pending);
	OPENSSL_cleanse(&c->id, sizeof(c->id));
	free(c);
	if (closed)
		closed(arg);
}

static void work_begin(struct cache *c)
{
	struct err e = ERR_INIT;

	c->working = true;
	if (!c->loop) {
		work_run(&c->work);
		work_done(&c->work);
		return;
	}
	if (work_start(&c->work, c->loop, work_run, work_done, &e) == 0)
		return;
	failed(c, &e);
	c->working = false;
}

static void finish_begin(struct cache *c)
{
	c->finish_fd = dup(c->now.file.fd);
	if (c->finish_fd < 0)
		return;
	memcpy(c->finish_temp, c->now.temp, sizeof(c->finish_temp));
	work_begin(c);
}

static void finish_done(struct cache *c)
{
	close(c->finish_fd);
	c->finish_fd = -1;
	if (c->work_err.kind != ERR_NONE) {
		failed(c, &c->work_err); /* tried again after the next commit */
		return;
	}
	c->stats.rewrites++;
	/* A newer snapshot may have come meanwhile; its own file is then still to be finished. */
	if (strcmp(c->finish_temp, c->now.temp) == 0)
		c->now.temp[0] = '\0';
}

static bool delta_open(const struct cache *c)
{
	return c->spilled || c->pending.len > 0;
}

/* The compacted file takes the current one's place, with what was appended meanwhile. */
static void compact_done(struct cache *c)
{
	struct err e = c->work_err;
	struct cache_compact *k = c->compact;

	c->compact = NULL;
	if (!c->closing && cache_compact_is_of(k, &c->now.file)) {
		if (e.kind == ERR_NONE &&
		    cache_compact_finish(k, c->now.file.committed_size, &e) == 0) {
			cache_file_close(&c->now.file);
			cache_compact_take(k, &c->now.file, c->now.temp, sizeof(c->now.temp),
					   &c->now.base);
		} else {
			failed(c, &e);
			c->now.base = c->now.file.size; /* not again at once */
		}
	}
	cache_compact_free(k);
}

static void work_done(struct work *w)
{
	struct cache *c = container_of(w, struct cache, work);
	bool again = true;

	c->working = false;
	if (c->compact && delta_open(c) && !c->closing)
		return; /* work_next goes on when the delta is committed or rolled back */
	if (c->compact) {
		compact_done(c);
	} else {
		finish_done(c);
		again = c->work_err.kind == ERR_NONE;
	}
	if (c->closing)
		cache_free(c);
	else if (again)
		work_next(c);
}

static void compact_begin(struct cache *c)
{
	struct err e = ERR_INIT;
	char temp[PATH_SIZE];

	temp_path(c, temp);
	if (cache_compact_create(&c->compact, c->path, temp, &c->id, &c->now.file, &e) != 0) {
		failed(c, &e);
		return;
	}
	work_begin(c);
}

/* What the background has to do, if anything. Never while a delta is open. */
static void work_next(struct cache *c)
{
	if (c->working || c->closing || c->now.file.fd < 0)
		return;
	if (c->compact)
		compact_done(c);
	if (c->now.temp[0])
		finish_begin(c);
	else if (c->now.file.size > 2 * c->now.base + COMPACT_SLACK && !c->broken)
		compact_begin(c);
}

static void close_later(void *arg)
{
	cache_free(arg);
}

void cache_close(struct cache *c, void (*closed)(void *arg), void *arg)
{
	struct err e = ERR_INIT;

	if (!c)
		return;
	c->closed = closed;
	c->closed_arg = arg;
	c->closing = true;
	if (c->working)
		return;
	if (c->compact)
		cache_compact_free(c->compact);
	c->compact = NULL;
	if (!c->loop || loop_post(c->loop, close_later, c, &e) != 0)
		cache_free(c);
}

/* --- loading --- */

struct loading {
	struct cache *c;
	const struct cache_loader *l;
	uint64_t revisions;
};

static int load_record(enum cache_record type, struct str bytes, void *arg, struct err *e)
{
	struct loading *g = arg;
	const struct cache_loader *l = g->l;
	uint64_t revision;

	if (type == CACHE_CHANGE)
		return l->on_change(bytes, l->arg, e);
	if (cache_revision_get(bytes, &revision, e) != 0 ||
	    l->on_commit(str_from(g->c->now.file.epoch), revision, l->arg, e) != 0)
		return -1;
	if (g->revisions++ == 0)
		g->c->now.base = g->c->now.file.size;
	return 0;
}

int cache_load(struct cache *c, const struct cache_loader *l, struct err *e)
{
	struct loading g = {c, l, 0};
	struct cache_file *f = &c->now.file;
	struct err why = ERR_INIT;

	if (cache_file_open(f, c->path, &c->id, &why) != 0) {
		if (why.kind != ERR_NOT_FOUND)
			log_error("cache is not used", log_err(&why), log_str("path", c->path));
		return err_set(e, ERR_NOT_FOUND, "no cache: %s", why.message);
	}
	if (l->on_begin(str_from(f->epoch), l->arg, &why) == 0 &&
	    cache_file_read(f, 0, load_record, &g, &why) == 0 && f->size == f->committed_size)
		return 0;
	l->on_rollback(l->arg);
	if (why.kind != ERR_NONE)
		log_error("cache is used up to its last whole revision", log_err(&why),
			  log_u64("revisions", g.revisions), log_str("path", c->path));
	if (g.revisions > 0 && cache_file_rollback(f, &why) == 0)
		return 0;
	cache_file_close(f);
	return g.revisions > 0 ? 0 : err_set(e, ERR_NOT_FOUND, "no whole revision in the cache");
}

/* --- writing --- */

void cache_begin_snapshot(struct cache *c, struct str epoch)
{
	struct err e = ERR_INIT;

	cache_rollback(c);
	c->snapshot = true;
	temp_path(c, c->next.temp);
	c->snapshot_failed = cache_file_create(&c->next.file, c->next.temp, &c->id, epoch, &e) != 0;
	if (c->snapshot_failed)
		failed(c, &e);
}

static void snapshot_change(struct cache *c, enum cache_record type, struct str bytes)
{
	struct err e = ERR_INIT;

	if (c->snapshot_failed || cache_file_add(&c->next.file, type, bytes, &e) == 0)
		return;
	failed(c, &e);
	c->snapshot_failed = true;
}

static int add_pending(enum cache_record type, struct str bytes, void *arg, struct err *e)
{
	struct cache *c = arg;

	if (cache_file_add(&c->now.file, type, bytes, e) != 0)
		return -1;
	if (type == CACHE_COMMIT)
		c->pending_written = (size_t)(bytes.ptr + bytes.len - c->pending.data);
	return 0;
}

static void pending_drop(struct cache *c, size_t keep)
{
	if (c->pending.len > keep)
		OPENSSL_cleanse(c->pending.data + keep, c->pending.len - keep);
	c->pending.len = keep;
}

static void give_up(struct cache *c)
{
	c->broken = true;
	c->spilled = false;
	pending_drop(c, 0);
	c->pending_committed = 0;
	log_warn("cache stays behind until the next snapshot", log_str("path", c->path));
}

/* Writes what waits. On failure the file ends at its last commit again. */
static int write_pending(struct cache *c)
{
	struct err e = ERR_INIT, cut = ERR_INIT;

	c->pending_written = 0;
	if (cache_records(buf_str(&c->pending), add_pending, c, &e) == 0) {
		pending_drop(c, 0);
		c->pending_committed = 0;
		return 0;
	}
	failed(c, &e);
	if (cache_file_rollback(&c->now.file, &cut) != 0 || c->spilled) {
		give_up(c);
		return -1;
	}
	buf_consume(&c->pending, c->pending_written);
	c->pending_committed -= c->pending_written;
	return -1;
}

void cache_change(struct cache *c, struct str encoded)
{
	struct err e = ERR_INIT;

	if (c->snapshot) {
		snapshot_change(c, CACHE_CHANGE, encoded);
		return;
	}
	if (c->broken || c->now.file.fd < 0)
		return;
	if (cache_record_put(&c->pending, CACHE_CHANGE, encoded, &e) != 0) {
		failed(c, &e);
		give_up(c);
		return;
	}
	/* A large delta goes to the file before its commit, unless older ones wait. */
	if (c->pending.len > PENDING_KEEP && c->pending_committed == 0 && write_pending(c) == 0)
		c->spilled = true;
}

static void snapshot_commit(struct cache *c)
{
	c->snapshot = false;
	if (c->snapshot_failed) {
		slot_close(&c->next);
		/* The file describes what was before the snapshot. It stays usable for a start. */
		if (!c->broken)
			give_up(c);
		return;
	}
	slot_close(&c->now);
	c->now = c->next;
	c->now.base = c->now.file.size;
	c->next = (struct slot){.file = {.fd = -1}};
	c->broken = false;
	pending_drop(c, 0);
	c->pending_committed = 0;
}

void cache_commit(struct cache *c, uint64_t revision)
{
	unsigned char bytes[8];
	struct str commit = {(const char *)bytes, sizeof(bytes)};
	struct err e = ERR_INIT;

	cache_revision_put(bytes, revision);
	if (c->snapshot) {
		snapshot_change(c, CACHE_COMMIT, commit);
		snapshot_commit(c);
		if (!c->broken)
			c->stats.commits++;
	} else if (!c->broken && c->now.file.fd >= 0) {
		if (cache_record_put(&c->pending, CACHE_COMMIT, commit, &e) != 0) {
			failed(c, &e);
			give_up(c);
			return;
		}
		c->pending_committed = c->pending.len;
		if (write_pending(c) == 0)
			c->stats.commits++;
		c->spilled = false;
	}
	work_next(c);
}

void cache_rollback(struct cache *c)
{
	struct err e = ERR_INIT;

	if (c->snapshot) {
		slot_close(&c->next);
		c->snapshot = false;
	}
	pending_drop(c, c->pending_committed);
	if (c->spilled && cache_file_rollback(&c->now.file, &e) != 0) {
		failed(c, &e);
		give_up(c);
	}
	c->spilled = false;
	work_next(c);
}

void cache_stats(const struct cache *c, struct cache_stats *out)
{
	*out = c->stats;
	out->size = c->now.file.fd >= 0 ? c->now.file.size : 0;
	out->behind = c->broken || c->pending_committed > 0;
}
