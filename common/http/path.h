/* One form for all spellings of a path (TR-05): Kong's. Routes are matched against it, and what is
 * sent upstream is made of it, so that there is no second view. Pure. Thread: any. */
#ifndef CARDEA_HTTP_PATH_H
#define CARDEA_HTTP_PATH_H

#include <stdbool.h>

#include "common/core/str.h"

/* Whether http_path_normalise would change nothing; may say no where it would not. Fast. */
bool http_path_is_normal(struct str path);
/* Each %XX decoded once unless it stands for a reserved character (RFC 3986 section 2.2, and '%'),
 * which stays with upper-case digits; then dot segments removed and slashes merged. An escaped
 * slash is no separator, and a backslash none either. path begins with '/', so does the result.
 * Other %-signs stay. out has room for path.len bytes and may be path's own memory. Returns the
 * length. */
size_t http_path_normalise(char *out, struct str path);
/* Escapes in place, from `from` on, what may not stand in a message: all but reserved and
 * unreserved characters and '%'. A normal form is thereby fit to be sent, and means the same. */
int http_path_escape(struct buf *b, size_t from, struct err *e) must_check;

#endif
