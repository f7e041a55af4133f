/* What a table shows of each kind of thing: a table of columns per kind. Pure. Thread: any. */
#ifndef CARDEA_CLI_COLUMNS_H
#define CARDEA_CLI_COLUMNS_H

#include <jansson.h>

#include "common/core/str.h"
#include "control-plane/model/entity.h"

struct column {
	const char *title;
	const char *member; /* "a.b": of the row; absent is shown as "-" */
	/* Appends what is shown of a value that is there. */
	int (*show)(struct buf *out, const json_t *value, struct err *e);
};

struct columns {
	const char *kind; /* "services": the entity, or what a command shows */
	const struct column *columns;
	size_t count;
};

/* Of a kind; those of any entity (name and id) when there are none. */
const struct columns *columns_of(const char *kind);
/* All, NULL at the end: for tests. */
const struct columns *columns_at(size_t i);
/* The member of a row by its dotted path; NULL when it is not there. */
const json_t *columns_member(const json_t *row, const char *path);

#endif
