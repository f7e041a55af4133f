/* Questions of many orders to the database as one. What comes while as many as may be are under
 * way waits, and goes with the others when one of them is answered: a single order is never held
 * up, and thousands share statements, revisions and writes to the disk.
 *
 *    group_add --> waiting --(room)--> ask: one question --> answered: group_end
 *       ^                                                        |
 *       `---- group_again: alone, since one of them failed it ---'
 *
 * owner: the ACME engine, thread: the loop.
 */
#ifndef CARDEA_ACME_GROUP_H
#define CARDEA_ACME_GROUP_H

#include "common/core/list.h"
#include "control-plane/store/store.h"

struct order;
struct group;

/* Orders of one question; each waits for the store (order_sleep) until group_awoke. */
struct group_batch {
	struct group *group;
	size_t count;
	struct order *orders[];
};

struct group {
	struct link waiting; /* struct order.grouped */
	unsigned under_way;
	unsigned under_way_max;
	size_t most; /* orders of one question */
	/* Asks the store, whose answer ends with group_end(b), also when nothing could be asked. */
	void (*ask)(struct group_batch *b);
};

/* At most `most` orders in one question. */
void group_init(struct group *g, void (*ask)(struct group_batch *b), size_t most);
/* The last thing that its caller does with the order. */
void group_add(struct group *g, struct order *o);
/* The i-th order of an answered batch; NULL: its run is over. */
struct order *group_awoke(struct group_batch *b, size_t i);
/* Whether the fault may be only some order's of many: then each has been put in again, alone. */
bool group_again(struct group_batch *b, const struct store_result *r);
/* The whole answer, for questions whose orders go on one by one: each gets r, or is put in again.
 */
void group_answer(struct group_batch *b, const struct store_result *r,
		  void (*each)(struct order *o, const struct store_result *r));
/* Frees b and asks for those that wait. */
void group_end(struct group_batch *b);
/* All names of all of them, with a space between. */
int group_names(const struct group_batch *b, struct buf *out, struct err *e) must_check;
/* {"id","id"}, an array of the database. */
int group_ids(const struct group_batch *b, struct buf *out, struct err *e) must_check;

#endif
