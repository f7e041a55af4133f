/* What happened to an order since it was stored last, for its time line: a JSON array that the next
 * statement about the row appends to the column events, which keeps the last 64 (acme_events in
 * store/migrations). An entry is {"at" (seconds, with milliseconds),"event","by"?,"detail"?,
 * "nodes"?}. A time line informs and decides nothing: without memory an entry is left out. Pure.
 * Thread: any. */
#ifndef CARDEA_ACME_TIMELINE_H
#define CARDEA_ACME_TIMELINE_H

#include <jansson.h>
#include <stdint.h>

/* Entries that wait for a statement; the ids of nodes in one entry. More are left out. */
enum { TIMELINE_WAITING_MAX = 64, TIMELINE_NODES_MAX = 64 };

struct timeline {
	json_t *sent, *waiting; /* private: NULL: none */
};

/* by, detail: NULL or "": left out. */
void timeline_add(struct timeline *t, int64_t at_ms, const char *event, const char *by,
		  const char *detail);
/* A node joins the last entry that waits, if that is such an event, or begins one. */
void timeline_add_node(struct timeline *t, int64_t at_ms, const char *event, const char *node);
/* What a statement about the row is to append: an array, whose reference is the caller's. NULL: out
 * of memory. It is given again, with what came meanwhile, until it is stored. */
json_t *timeline_send(struct timeline *t);
/* The statement has been done. */
void timeline_stored(struct timeline *t);
void timeline_deinit(struct timeline *t);

#endif
