/* Kong's declarative format (kong-admin-api.md 4.1): a document becomes flat, fully checked rows of
 * every entity, and rows become a document. Pure: no database, no clock but the one given. Thread:
 * any, one at a time per object, but for declarative_check (see there).
 *
 *   text ──declarative_parse──▶ tree ──declarative_open──▶ items ──declarative_check──▶ rows
 *                                                                        │
 *        the caller takes items[i].row ◀──declarative_close (references, uniqueness)
 *
 * declarative_read does the last three at once. What is wrong with the document is never an error
 * of these functions: it is kept, and declarative_fault tells it in Kong's shape. They fail (-1)
 * only when memory ran out.
 */
#ifndef CARDEA_MODEL_DECLARATIVE_H
#define CARDEA_MODEL_DECLARATIVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/core/codec.h"
#include "common/core/err.h"
#include "common/core/str.h"
#include "control-plane/model/entity.h"

enum {
	DECLARATIVE_DEPTH_MAX = 64,	   /* of nested values in a document */
	DECLARATIVE_ALIASED_MAX = 1000000, /* values that YAML aliases may stand for, together */
	DECLARATIVE_ITEMS_MAX = 4000000,   /* entities of one document */
	DECLARATIVE_REFUSED_MAX = 1000,	   /* refused items that are told of; the rest is counted */
	DECLARATIVE_MESSAGE_MAX = 64 << 10, /* bytes of the fault's message */
};
#define DECLARATIVE_TOP ((size_t)-1)

/* JSON or YAML text into an object. file decides by its suffix (json, yaml, yml); NULL: JSON is
 * tried first. ERR_INVALID, in Kong's words: "failed parsing declarative configuration: 3:7: ..."
 * (line:column) or "unknown file type: ...". Over a limit: ERR_INVALID too. */
int declarative_parse(json_t **out, struct str text, const char *file, struct err *e) must_check;

/* One entity of the document. All of one kind stand together, kinds in entity_at order (references
 * before referrers), each in the document's order; those nested in others come after those on top.
 */
struct declarative_item {
	const struct entity *entity;
	const json_t *input; /* as the document has it, with what is nested in it; borrowed */
	json_t *row; /* checked, all fields, references as {"id"}; NULL: refused, or not checked */
	size_t parent;	 /* index of the item it is nested in; DECLARATIVE_TOP */
	size_t position; /* in its list, 1-based */
	char id[UUID_TEXT_SIZE];
	json_t *references; /* private: field to {"id"}, resolved; NULL: none */
	json_t *violations; /* private: tree as in Kong's "fields", with "@entity"; NULL: none */
};

struct declarative_options {
	int64_t now_ms; /* for created_at and updated_at */
	/* References by id to what the document does not hold are left to the database. Else, as in
	 * Kong, they are refused. Names must always be in the document. */
	bool open;
	bool verify; /* tls_certificate_verify: verification.h */
};

struct declarative {
	struct declarative_item *items; /* read */
	size_t count;			/* read */
	size_t refused;			/* read: items with violations */
	bool transform;			/* read: _transform */
	char format_version[8];		/* read: "3.0" */
	json_t *document;		/* private, as the rest; owned */
	json_t *top;			/* tree of violations that are of no item; NULL: none */
	json_t *late;			/* list of what is told only when each item is right */
	size_t item_cap;
	struct declarative_options options;
	bool no_memory;
};

/* Takes the document (a reference). Fills items with inputs, ids and resolved references. */
int declarative_open(struct declarative *d, json_t *document, const struct declarative_options *o,
		     struct err *e) must_check;
/* Checks items [from, to) by their tables: the expensive part (certificates are parsed). Different
 * ranges may be checked by different threads at a time; d->refused is counted by
 * declarative_close. */
int declarative_check(struct declarative *d, size_t from, size_t to, struct err *e) must_check;
/* Once, after all items were checked: what can only be seen of all rows together. Kong looks at it
 * only when every item was right by itself, and so does this. */
int declarative_close(struct declarative *d, struct err *e) must_check;
/* open, check of everything, close. On -1, too, declarative_deinit is due. */
int declarative_read(struct declarative *d, json_t *document, const struct declarative_options *o,
		     struct err *e) must_check;
void declarative_deinit(struct declarative *d);

/* Whether the document was refused. */
bool declarative_refused(const struct declarative *d);
/* {"code":14,"name":"invalid declarative configuration","message":"declarative config is invalid:
 * {...}","fields":{...}[,"flattened_errors":[...]]}; new reference, NULL when out of memory. */
json_t *declarative_fault(const struct declarative *d, bool flatten);
/* The same for a text that declarative_parse refused with e. */
json_t *declarative_parse_fault(const struct err *e);
/* As `kong config parse` prints it: "in 'services':\n  - in entry 1 of 'services':\n ...". */
int declarative_print(const struct declarative *d, struct buf *out, struct err *e) must_check;
/* {"services":{"<id>":{...}}}: what POST /config answers; new reference, NULL when out of memory.
 */
json_t *declarative_show(const struct declarative *d);

/* The id that an entity without one gets: version 5, out of its keys, equal to Kong's where Kong's
 * follows from the entity alone (names; plugins: name and scopes). key: e.g. the name. */
void declarative_id(const struct entity *t, struct str key, char out[UUID_TEXT_SIZE]);

/* --- rows to a document --- */

/* A YAML document is written piece by piece, so that a large one needs no tree. */
struct declarative_writer;
/* Begins with _format_version and _transform: false. out is the caller's and grows. */
int declarative_write_begin(struct declarative_writer **out, struct buf *text,
			    struct err *e) must_check;
/* Rows of one kind one after the other, kinds in entity_at order. References become ids. */
int declarative_write(struct declarative_writer *w, const struct entity *t, const json_t *row,
		      struct err *e) must_check;
/* Ends the text and frees the writer, also after errors. */
int declarative_write_end(struct declarative_writer *w, struct err *e) must_check;

#endif
