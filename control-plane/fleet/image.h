/* Everything that data planes hold, in its wire form: one item per entity, in a list ordered by
 * revision, so that what is new since revision R is the end of the list, and a snapshot is all of
 * it.
 *
 *     items: a(3) b(5) ▲ c(5) x(9, removed) d(12)
 *                      └ a cursor: its node was sent everything before it
 *
 * An entity that changes gets new bytes and moves to the end. A cursor is a place in the same list,
 * so changes never invalidate one, and a slow node costs one cursor, not a queue. A removed entity
 * stays as a tombstone until the store's floor passes it. Between image_put and image_commit the
 * image is open: its end belongs to no whole revision yet.
 *
 * What a data plane refused (invariant 4) is first a suspect: no cursor passes it, so that no other
 * node gets it. When the store has noted the refusal, image_hold puts "keep what you have" in its
 * place, until the entity changes. owner: the fleet, thread: the loop.
 */
#ifndef CARDEA_FLEET_IMAGE_H
#define CARDEA_FLEET_IMAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/list.h"
#include "common/core/map.h"
#include "control-plane/fleet/encode.h"

/* What stands in the list. */
struct image_place {
	struct link link;
	bool is_cursor;
};

struct image_item {
	struct image_place place;    /* private */
	struct encoded *bytes;	     /* read */
	struct link dead;	     /* private: in image.tombstones while removed */
	struct link hold;	     /* private: in image.holds while held back */
	const struct entity *entity; /* read */
	unsigned char id[16];	     /* read */
	uint64_t revision;	     /* read: of its last change */
	bool removed;		     /* read */
	bool suspect;		     /* read: refused; the store has not noted it yet */
	uint64_t refused; /* read: revision of the change that is held back; 0: none is */
};

struct image {
	struct map items;		/* private: kind and id to item */
	struct link order;		/* private: image_place by revision */
	struct link tombstones;		/* private: in order of removal */
	struct link holds;		/* private: items held back */
	uint64_t newest;		/* private: revision of the last item */
	char epoch[NODE_EPOCH_MAX + 1]; /* read */
	uint64_t revision;		/* read: of the last commit */
	uint64_t floor;			/* read: who holds less needs a snapshot */
	uint64_t seen_ms;		/* set: at that time the database held no more */
	size_t live;			/* read: entities that are not removed */
	bool ready;			/* read: a commit came since the reset */
	bool open;			/* read: changes came since the last commit */
	size_t held;			/* read: entities whose newest change is held back */
};

/* Embedded by its node. A cursor that was never placed is in no list. */
struct image_cursor {
	struct image_place place; /* private */
};

/* Empty and not ready. */
void image_init(struct image *m);
/* Every cursor must have been taken off. */
void image_deinit(struct image *m);
/* Forgets everything. Cursors must have been taken off. An epoch of more than NODE_EPOCH_MAX bytes
 * is cut. */
void image_reset(struct image *m, const char *epoch);
/* Sets an entity to row, or removes it (NULL). On ERR_INVALID and ERR_LIMIT (the row has no wire
 * form) the item keeps its old bytes and place: nodes go on with the last good state. */
int image_put(struct image *m, const struct entity *t, const char *id, const json_t *row,
	      uint64_t revision, struct err *e) must_check;
/* As image_put: the change of revision `refused` is held back. */
int image_hold(struct image *m, const struct entity *t, const char *id, uint64_t refused,
	       uint64_t revision, struct err *e) must_check;
/* A node refused the entity as of `revision` or older: no cursor passes it from now on. False: it
 * is not there, was changed since, or is held back already. */
bool image_suspect(struct image *m, const struct entity *t, const char *id, uint64_t revision);
/* No suspect any more. */
void image_trust(struct image *m, const struct entity *t, const char *id);
/* Whether it is a suspect still. */
bool image_is_suspect(const struct image *m, const struct entity *t, const char *id);
/* Whether something that changed in this very revision is held back. */
bool image_refused(const struct image *m, uint64_t revision);
/* One consistent state. Tombstones up to floor are forgotten. */
void image_commit(struct image *m, uint64_t revision, uint64_t floor);

/* In no list. */
void image_cursor_init(struct image_cursor *c);
/* Before everything: for a snapshot. */
void image_cursor_first(struct image *m, struct image_cursor *c);
/* Behind the last item of revision `held` or older: for a delta. Costs what the delta costs. */
void image_cursor_after(struct image *m, struct image_cursor *c, uint64_t held);
/* The next item, stepping over it; NULL at the end and before a suspect. Borrowed until the image
 * changes. */
const struct image_item *image_cursor_next(struct image *m, struct image_cursor *c);
/* Whether nothing follows, not even a suspect. */
bool image_cursor_at_end(const struct image *m, const struct image_cursor *c);
/* Takes it off the list. */
void image_cursor_stop(struct image_cursor *c);

#endif
