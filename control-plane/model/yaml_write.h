/* JSON values into YAML text, by libyaml: block style, texts in quotes only where they need them,
 * texts of several lines as literal blocks. What yaml_read makes of it is what was written. Thread:
 * the owner. */
#ifndef CARDEA_MODEL_YAML_WRITE_H
#define CARDEA_MODEL_YAML_WRITE_H

#include <jansson.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct yaml_writer;

/* Begins one document, appended to text (borrowed until the end). */
int yaml_write_begin(struct yaml_writer **out, struct buf *text, struct err *e) must_check;
/* The parts of a document, in order: a mapping is keys and values in turn. */
int yaml_write_map_begin(struct yaml_writer *w, struct err *e) must_check;
int yaml_write_map_end(struct yaml_writer *w, struct err *e) must_check;
int yaml_write_list_begin(struct yaml_writer *w, struct err *e) must_check;
int yaml_write_list_end(struct yaml_writer *w, struct err *e) must_check;
int yaml_write_key(struct yaml_writer *w, const char *key, struct err *e) must_check;
int yaml_write_value(struct yaml_writer *w, const json_t *value, struct err *e) must_check;
/* Ends the document unless w is NULL or failed before; frees w in any case. */
int yaml_write_end(struct yaml_writer *w, struct err *e) must_check;

#endif
