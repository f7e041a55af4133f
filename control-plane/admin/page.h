/* Pages of lists: size, offsets, and the path of the next page (kong-admin-api.md 1.7). Thread: the
 * loop. */
#ifndef CARDEA_ADMIN_PAGE_H
#define CARDEA_ADMIN_PAGE_H

#include "control-plane/admin/request.h"

/* The size asked for. Answers 400 unless it returns true. */
bool page_size(struct admin_request *r, unsigned *size) must_check;
/* The array that an offset stands for: n texts, the last a UUID, the first of two a time in
 * seconds; new reference, NULL without an offset. Answers 400 unless it returns true. */
bool page_offset(struct admin_request *r, size_t n, json_t **out) must_check;
/* The number that an offset stands for: of lists whose key is one; 0 without an offset. Answers 400
 * unless it returns true. */
bool page_offset_number(struct admin_request *r, uint64_t *out) must_check;
/* The text that an offset stands for: of lists whose key is a name; new reference, NULL without an
 * offset. Answers 400 unless it returns true. */
bool page_offset_text(struct admin_request *r, json_t **out) must_check;
/* {"data":data,"next":null}; data is taken over. */
json_t *page_make(json_t *data);
/* Adds `offset`, which stands for key (taken over), and `next`, the request's own path with it. The
 * query's size and filters go along when with_query. */
void page_add_next(struct admin_request *r, json_t *page, json_t *key, bool with_query);

/* Answers with the rows of a query for r->page_size + 1 of them: as `show` makes them (new
 * reference), or as they are (NULL). The next page begins after the last one's column `key`. */
void page_reply(struct admin_request *r, const struct store_result *res, const char *key,
		json_t *(*show)(const json_t *row));

#endif
