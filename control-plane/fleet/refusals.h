/* What data planes refused (invariant 4): held back from all that have not got it, until it
 * changes.
 *
 *     nack with an entity -> suspect in the image (no cursor passes it) -> store_refuse
 *       -> the feed gives the refusal a revision -> image_hold: "keep what you have" takes its
 * place database away, or the entity changed meanwhile: the suspect stays until the feed says what
 *       became of it; noted again every half second
 *     nack without an entity: concerns that node only
 *     too many: no more are held; each node then refuses by itself
 * owner: the fleet, thread: the loop.
 */
#ifndef CARDEA_FLEET_REFUSALS_H
#define CARDEA_FLEET_REFUSALS_H

#include "control-plane/fleet/image.h"
#include "control-plane/fleet/node.h"
#include "control-plane/store/store.h"

/* Entities held back at a time. */
enum { REFUSALS_MAX = 1024 };

struct refusals {
	struct store *store; /* private, as all */
	struct image *image;
	json_t *pending; /* array as store_refuse takes: suspects */
	bool writing;
	bool again; /* more came while writing */
	bool closing;
	void (*closed)(void *arg);
	void *arg;
};

/* Both are borrowed. */
int refusals_init(struct refusals *r, struct store *s, struct image *m, struct err *e) must_check;
/* closed is called when nothing is under way any more: at once, or later. */
void refusals_close(struct refusals *r, void (*closed)(void *arg), void *arg);
/* A node nacked: n->nack. */
void refusals_note(struct refusals *r, const struct node *n);
/* Now and then: writes again what did not get through. */
void refusals_tick(struct refusals *r);

#endif
