/* The store without a database: a state that is replaced as a whole, a feed of what changed, the
 * rows of data planes, and answers that come in the next turn of the loop. Nothing is sealed,
 * because nothing leaves the process. Private to control-plane/store/. owner: store, thread: the
 * loop. */
#ifndef CARDEA_STORE_MEMORY_H
#define CARDEA_STORE_MEMORY_H

#include "common/core/list.h"
#include "control-plane/store/memory_state.h"
#include "control-plane/store/store.h"

enum {
	MEMORY_NODES_MAX = 100000, /* rows of data planes; more are not kept */
	MEMORY_HASH_SIZE = 33,	   /* MD5 in hexadecimal, with a NUL */
};

/* Gives a follower what is new, some rows in each turn of the loop. */
struct memory_feed {
	struct feed_events events;
	bool on;
	bool loaded;		     /* a whole load was given and committed */
	uint64_t revision;	     /* given and committed */
	uint64_t committed_ns;	     /* when that was taken */
	struct memory_state *giving; /* under way; or NULL */
	uint64_t after;		     /* only what is newer is given */
	size_t removed_at, kind, row_at;
	struct deferred step;
};

struct memory {
	struct loop *loop;
	struct memory_state *now;
	char epoch[UUID_TEXT_SIZE];
	char hash[MEMORY_HASH_SIZE]; /* of what was loaded; zeros before */
	bool writing;		     /* a document is on its way to become the state */
	struct link answers;	     /* struct answer: to be given */
	struct deferred deliver;
	struct memory_feed feed;
	json_t *nodes; /* id to row with last_seen, in seconds */
	bool closing, ended;
	unsigned closing_left;
	void (*closed)(void *arg);
	void *closed_arg;
};

/* Empty, at revision 0. */
int memory_create(struct memory **out, struct loop *l, struct err *e) must_check;
/* What was asked is answered first. */
void memory_close(struct memory *m, void (*closed)(void *arg), void *arg);
/* Two that must end before it is closed: a load under way, and the like. */
void memory_hold(struct memory *m);
void memory_release(struct memory *m);
/* From now on s (a reference is taken over) is what there is. */
void memory_replace(struct memory *m, struct memory_state *s);
/* Answers in this turn's end. rows (taken over) may be NULL. */
void memory_answer(struct memory *m, store_done done, void *arg, enum store_fault fault,
		   json_t *rows);

/* memory_feed.c */
void memory_feed_init(struct memory_feed *f);
int memory_feed_follow(struct memory *m, const struct feed_events *ev, struct err *e) must_check;
void memory_feed_unfollow(struct memory *m);
/* See store_followed_ns. */
uint64_t memory_feed_seen_ns(const struct memory *m);
/* The state is another one. */
void memory_feed_kick(struct memory *m);

/* memory_nodes.c: see the functions of store.h by these names. */
void memory_nodes_write(struct memory *m, const char *self, const json_t *rows);
json_t *memory_nodes_list(const struct memory *m);
void memory_nodes_beat(struct memory *m);
void memory_nodes_purge(struct memory *m);

/* memory_read.c: the rows of store_get and so on; new references, NULL when out of memory. */
json_t *memory_get(const struct memory *m, const struct entity *t, struct str key);
json_t *memory_find(const struct memory *m, const struct entity *t, const struct store_key *k);
json_t *memory_list(const struct memory *m, const struct entity *t, const struct store_page *p);
json_t *memory_tags(const struct memory *m, const struct store_tag_page *p);

#endif
