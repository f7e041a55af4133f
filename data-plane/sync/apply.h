/* Applies whole revisions to the tables: checks and stages changes, then commits all or none
 * (invariants 2 and 4).
 *
 *     begin_snapshot? ── change* ── commit ──▶ visible to workers, all at once ──▶ cache
 *                           └── any error ──▶ rollback: the last good state goes on
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

/* cache may be NULL (tests). Both are borrowed. */
struct apply *apply_create(struct tables *t, struct cache *c);
void apply_free(struct apply *a);
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
void apply_rollback(struct apply *a);
/* Loads the cache into the tables: same path, without checks that were made before it was written.
 * -1 and ERR_NOT_FOUND: no cache. */
int apply_load(struct apply *a, struct err *e) must_check;

#endif
