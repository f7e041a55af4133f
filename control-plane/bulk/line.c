#include "control-plane/bulk/line.h"

#include "common/http/body.h"

/* Only the place: jansson's own words quote what stands there. */
static int not_json(struct str text, struct err *e)
{
	json_error_t why = {.position = 0};
	json_t *value = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
	bool cut = json_error_code(&why) == json_error_premature_end_of_input;

	if (value) {
		json_decref(value);
		return err_set(e, ERR_INVALID, "expected an object of at most %d levels",
			       BODY_DEPTH_MAX);
	}
	if (cut)
		return err_set(e, ERR_INVALID, "not valid JSON: the line is cut short");
	return err_set(e, ERR_INVALID, "not valid JSON at byte %d", why.position);
}

int line_decode(const struct entity **t, json_t **input, struct str text, struct err *e)
{
	json_t *line = NULL, *value;
	const struct entity *found;
	const char *name;
	void *first;
	int rc = 0;

	if (body_json(&line, text, NULL) < 0)
		return not_json(text, e);
	first = json_object_iter(line);
	name = first ? json_object_iter_key(first) : "";
	value = first ? json_object_iter_value(first) : NULL;
	found = entity_find(str_from(name));
	if (json_object_size(line) != 1)
		rc = err_set(e, ERR_INVALID, "expected one member, the name of an entity");
	else if (!found || found->internal)
		rc = err_set(e, ERR_INVALID, "no entity is named '%.64s'", name);
	else if (!json_is_object(value))
		rc = err_set(e, ERR_INVALID, "%s: expected an object", found->name);
	if (rc == 0) {
		*t = found;
		*input = json_incref(value);
	}
	json_decref(line);
	return rc;
}
