/* Applies whole revisions to the tables: checks and stages changes, then commits all or none
 * (invariants 2 and 4).
 *
 *     begin_snapshot? ── change* ── commit ──▶ visible to workers, all at once ──▶ cache
 *                           └── any error ──▶ rollback: the last good state goes on
 *
 * A change may say that an entity is held back: it stays as it is, also in a snapshot, and what
 * refers to it may dangle. (What a snapshot kept so is not in the disk cache: a restart loses it.)
 * owner: the sync thread.
 */
#ifndef CARDEA_SYNC_APPLY_H
#define CARDEA_SYNC_APPLY_H

#include <stdint.h>

#include "common/core/err.h"
#include "data-plane/sync/change.h"

struct apply;
struct tables;
struct cache;
struct suspects;

/* cache may be NULL (tests). Both are borrowed. */
struct apply *apply_create(struct tables *t, struct cache *c);
void apply_free(struct apply *a);
/* Another cache, or none, from now on. Nothing may be staged. */
void apply_set_cache(struct apply *a, struct cache *c);
/* From now on what is applied is noted in s, and what s refuses is refused: on the stream with an
 * error, in the cache by leaving the entity as it was before. Borrowed; NULL: no more. */
void apply_watch(struct apply *a, struct suspects *s);
/* From now on changes that switch verification off are refused (sync/verification.h). */
void apply_enforce_verification(struct apply *a);
/* What is held: "" and 0 before the first commit. */
const char *apply_epoch(const struct apply *a);
uint64_t apply_revision(const struct apply *a);

/* Drops what was staged; what follows until commit replaces everything. */
int apply_begin_snapshot(struct apply *a, struct str epoch, uint64_t revision,
			 struct err *e) must_check;
/* Checks one change (parses, key matches leaf, sizes, references at commit) and stages it. After an
 * error the caller nacks and must call apply_rollback. */
int apply_change(struct apply *a, const struct change *c, struct err *e) must_check;
/* Makes the staged changes visible together and remembers them in the cache. On error nothing
 * changed and *culprit (may be NULL) is the entity at fault with kind and id. Checks that a delta's
 * epoch is the one held and revisions grow. */
struct apply_culprit {
	const char *kind; /* "" when the revision itself */
	unsigned char id[16];
};
int apply_commit(struct apply *a, struct str epoch, uint64_t revision,
		 struct apply_culprit *culprit, struct err *e) must_check;
/* The next entity that is held but refused (it was in the cache) and that no control plane knows
 * of: each once after apply_restart. */
bool apply_suspect(struct apply *a, struct apply_culprit *culprit, struct err *why);
/* A stream begins. */
void apply_restart(struct apply *a);
void apply_rollback(struct apply *a);
/* Loads the cache into the tables: same path, without checks that were made before it was written.
 * -1 and ERR_NOT_FOUND: no cache. */
int apply_load(struct apply *a, struct err *e) must_check;

#endif
