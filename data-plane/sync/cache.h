/* The disk cache: what a data plane starts from when no control plane answers (invariant 1).
 *
 *     snapshot ─▶ cache.N.new ─ commit ─▶ [pool: fsync, rename, fsync folder] ─▶ cache
 *     delta    ─▶ appended to the current file, sealed at its commit
 *     file > 2x its base ─▶ [pool: live entities into cache.N.new] ─ tail copied ─▶ as a snapshot
 *
 * Failure paths: a write that fails is counted and tried again with the next commit; when what
 * waits is too large, the cache stays at its last whole revision until the next snapshot. A file
 * that is damaged, foreign or of another format is reported and used up to its last whole
 * revision, or not at all. Serving never depends on any of this.
 * owner: apply, thread: the sync thread.
 */
#ifndef CARDEA_SYNC_CACHE_H
#define CARDEA_SYNC_CACHE_H

#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/loop.h"

struct cache;

struct cache_conf {
	const char *folder;   /* exists */
	const char *key_file; /* 32 bytes, mode 0600 or 0400; made when absent */
	const char *node_id;  /* UUID text: a cache of another node is not used */
	struct loop *loop;    /* NULL: background work runs in the calls (tests) */
};

/* Reads or makes the key; touches no cache file yet. ERR_DENIED: others may read the key file;
 * ERR_INVALID: it is not a key. */
int cache_create(struct cache **out, const struct cache_conf *c, struct err *e) must_check;
/* Finishes what is running, then frees; closed (may be NULL) is called later when there is a loop,
 * before the return when there is none. */
void cache_close(struct cache *c, void (*closed)(void *arg), void *arg);

struct cache_loader {
	int (*on_begin)(struct str epoch, void *arg, struct err *e);
	int (*on_change)(struct str encoded, void *arg, struct err *e);
	int (*on_commit)(struct str epoch, uint64_t revision, void *arg, struct err *e);
	void (*on_rollback)(void *arg); /* what came since the last commit is void */
	void *arg;
};
/* Gives what the file holds up to its last whole revision. ERR_NOT_FOUND: there is no cache, or
 * none that can be used (which was logged). */
int cache_load(struct cache *c, const struct cache_loader *l, struct err *e) must_check;

/* What apply stages and commits. None of these can fail for the caller. */
void cache_begin_snapshot(struct cache *c, struct str epoch);
void cache_change(struct cache *c, struct str encoded);
void cache_commit(struct cache *c, uint64_t revision);
void cache_rollback(struct cache *c);

struct cache_stats {
	uint64_t commits;  /* written */
	uint64_t rewrites; /* snapshots and compactions that took the cache's place */
	uint64_t failed;   /* writes */
	uint64_t size;	   /* bytes of the current file */
	bool behind;	   /* the file does not hold the newest revision */
};
void cache_stats(const struct cache *c, struct cache_stats *out);

#endif
