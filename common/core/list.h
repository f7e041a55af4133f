/* Intrusive doubly linked list. An object that is on a list embeds a struct link per list it may be
 * on. A link that is on no list is empty (points to itself). Thread: the owner of the list. */
#ifndef CARDEA_CORE_LIST_H
#define CARDEA_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/core/compiler.h"

struct link {
	struct link *next;
	struct link *prev;
};

/* The head is a link too; the list is a ring through it. */
static inline void list_init(struct link *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct link *head)
{
	return head->next == head;
}

static inline void list_insert_after(struct link *at, struct link *item)
{
	item->next = at->next;
	item->prev = at;
	at->next->prev = item;
	at->next = item;
}

/* At the end. item must be on no list. */
static inline void list_push(struct link *head, struct link *item)
{
	list_insert_after(head->prev, item);
}

/* At the beginning. */
static inline void list_push_front(struct link *head, struct link *item)
{
	list_insert_after(head, item);
}

/* Takes item off its list and leaves it empty; harmless on an empty link. */
static inline void list_remove(struct link *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

/* Puts everything on `from` at the end of `to`; `from` is empty then. */
static inline void list_move_all(struct link *to, struct link *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

static inline struct link *list_first(const struct link *head)
{
	return list_empty(head) ? NULL : head->next;
}

/* Takes the first off the list; NULL when there is none. */
static inline struct link *list_pop(struct link *head)
{
	struct link *first = head->next;

	if (first == head)
		return NULL;
	head->next = first->next;
	head->next->prev = head;
	list_init(first);
	return first;
}

static inline struct link *list_last(const struct link *head)
{
	return list_empty(head) ? NULL : head->prev;
}

#define list_for_each(it, head) for (struct link *it = (head)->next; it != (head); it = it->next)
/* The body may remove `it`. */
#define list_for_each_safe(it, head)                                                               \
	for (struct link *it = (head)->next, *it##_next = it->next; it != (head);                  \
	     it = it##_next, it##_next = it->next)

#endif
