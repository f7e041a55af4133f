/* Configuration: `key = value` lines (# comments), every key also as environment variable
 * CARDEA_<KEY> that wins (but for CARDEA_CLI_..., which are the command line client's).
 *
 * A daemon gives a table of keys with types, defaults and ranges; conf_load fills a struct through
 * offsets. Any error names file, line, key and what is allowed. Thread: before threads start, and
 * the main thread on reload.
 *
 * A value in double quotes is taken as it is; else it ends before white space and `#`. An empty
 * value empties a string or a listener list. A key that stands twice in the file is an error.
 */
#ifndef CARDEA_CONF_CONF_H
#define CARDEA_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum conf_type {
	CONF_STRING,   /* char *, heap; NULL when empty */
	CONF_SECRET,   /* as string; printed as ******, cleansed when freed */
	CONF_PATH,     /* as string */
	CONF_BOOL,     /* bool: on/off, true/false, yes/no */
	CONF_INT,      /* int64_t within [min, max] */
	CONF_SIZE,     /* uint64_t bytes: 8k, 16m, 1g, within [min, max] */
	CONF_DURATION, /* uint64_t milliseconds: 500ms, 10s, 5m, 12h, 1d; a bare number is seconds
			*/
	CONF_ENUM,     /* int: index into choices */
	CONF_LISTEN,   /* struct listen_list (common/net/addr.h) */
};

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;		    /* into the target struct */
	const char *fallback;	    /* text of the default; NULL or "": empty */
	int64_t min, max;	    /* INT, SIZE, DURATION; both 0: any */
	const char *const *choices; /* ENUM: NULL-terminated */
	const char *help;	    /* one line */
};

/* Fills *target (zeroed by the caller) from defaults, then the file (NULL: none), then the
 * environment. -1: *e says "cardea.conf:12: admin_listen: ..."; *target is then freed. Unknown keys
 * and unknown CARDEA_* variables are errors that name the closest known key. */
int conf_load(const struct conf_key *keys, size_t n, void *target, const char *file,
	      struct err *e) must_check;
/* Frees strings, cleanses secrets, zeroes. */
void conf_free(const struct conf_key *keys, size_t n, void *target);
/* Prints every key with value, secrets masked, in file form: for -t and for `GET /`. */
void conf_print(const struct conf_key *keys, size_t n, const void *target, FILE *out);
/* One value as text into buf: as conf_print shows it. */
int conf_value_text(const struct conf_key *key, const void *target, struct buf *out,
		    struct err *e) must_check;

#endif
