/* Rows into a declarative document. */
#include <stdlib.h>

#include "control-plane/model/declarative.h"
#include "control-plane/model/yaml_write.h"

struct declarative_writer {
	struct yaml_writer *yaml;
	const struct entity *kind; /* whose list is open */
};

static int begin(struct declarative_writer *w, struct err *e)
{
	json_t *version = json_string("3.0");
	int rc = version ? 0 : err_memory(e, "declarative configuration");

	if (rc == 0)
		rc = yaml_write_map_begin(w->yaml, e);
	if (rc == 0)
		rc = yaml_write_key(w->yaml, "_format_version", e);
	if (rc == 0)
		rc = yaml_write_value(w->yaml, version, e);
	if (rc == 0)
		rc = yaml_write_key(w->yaml, "_transform", e);
	if (rc == 0)
		rc = yaml_write_value(w->yaml, json_false(), e);
	json_decref(version);
	return rc;
}

int declarative_write_begin(struct declarative_writer **out, struct buf *text, struct err *e)
{
	struct declarative_writer *w = calloc(1, sizeof(*w));

	*out = NULL;
	if (!w)
		return err_memory(e, "declarative configuration");
	if (yaml_write_begin(&w->yaml, text, e) == 0 && begin(w, e) == 0) {
		*out = w;
		return 0;
	}
	(void)!yaml_write_end(w->yaml, NULL);
	free(w);
	return -1;
}

static int write_field(struct declarative_writer *w, const struct field *f, const json_t *value,
		       struct err *e)
{
	if (yaml_write_key(w->yaml, f->name, e) < 0)
		return -1;
	if (f->type == FIELD_FOREIGN && json_is_object(value))
		value = json_object_get(value, "id");
	return yaml_write_value(w->yaml, value, e);
}

static int open_list(struct declarative_writer *w, const struct entity *t, struct err *e)
{
	if (w->kind == t)
		return 0;
	if (w->kind && yaml_write_list_end(w->yaml, e) < 0)
		return -1;
	w->kind = t;
	if (yaml_write_key(w->yaml, t->name, e) < 0)
		return -1;
	return yaml_write_list_begin(w->yaml, e);
}

int declarative_write(struct declarative_writer *w, const struct entity *t, const json_t *row,
		      struct err *e)
{
	const struct field *f;

	if (open_list(w, t, e) < 0 || yaml_write_map_begin(w->yaml, e) < 0)
		return -1;
	for (size_t i = 0; (f = entity_field_at(t, i)); i++)
		if (!(f->flags & (FIELD_TRANSIENT | FIELD_WRITE_ONLY)) &&
		    write_field(w, f, json_object_get(row, f->name), e) < 0)
			return -1;
	return yaml_write_map_end(w->yaml, e);
}

static int end(struct declarative_writer *w, struct err *e)
{
	if (w->kind && yaml_write_list_end(w->yaml, e) < 0)
		return -1;
	return yaml_write_map_end(w->yaml, e);
}

int declarative_write_end(struct declarative_writer *w, struct err *e)
{
	int rc;

	if (!w)
		return 0;
	rc = end(w, e);
	if (yaml_write_end(w->yaml, rc == 0 ? e : NULL) < 0)
		rc = -1;
	free(w);
	return rc;
}
