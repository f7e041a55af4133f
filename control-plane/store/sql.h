/* SQL of entities, made from their field tables. Private to control-plane/store/. Thread: any after
 * sql_init. */
#ifndef CARDEA_STORE_SQL_H
#define CARDEA_STORE_SQL_H

#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/model/entity.h"

enum { SQL_FIELDS_MAX = 64, SQL_ENTITIES_MAX = 32 };

/* Statements of one entity. "row": all stored fields in table order as $1...; the first is id. */
struct sql {
	const struct entity *entity;
	/* Fields in the order of result columns; "version" follows the last. */
	const struct field *read[SQL_FIELDS_MAX];
	size_t read_count;
	/* Fields in the order of parameters. */
	const struct field *write[SQL_FIELDS_MAX];
	size_t write_count;
	/* Select list with transient fields, and with null in their place. t is the table. */
	struct buf columns, columns_stored;
	struct buf insert;	/* row */
	struct buf update;	/* row, then the version wanted or -1: CA001 gone, CA003 moved on */
	struct buf upsert;	/* row */
	struct buf upsert_many; /* a text[] for each of row */
	struct buf delete_any;	/* id */
	struct buf delete_must; /* id: CA001 gone */
	struct buf get_id;	/* id */
	struct buf get_key;	/* endpoint key; empty: there is none */
	struct buf
		changed; /* last revision, limit: columns_stored, revision, id, removed, refused */
	struct buf cursor;	   /* DECLARE of "c" over the last change of all, by revision */
	struct buf cursor_changed; /* the same over changes after a revision: format with it */
};

/* Builds the statements of t, which must outlive s. ERR_LIMIT: t has too many fields. */
int sql_init(struct sql *s, const struct entity *t, struct err *e) must_check;
void sql_deinit(struct sql *s);
/* Whether a list of this field is a text[] column; else it is jsonb. */
bool sql_is_text_list(const struct field *f);

#endif
