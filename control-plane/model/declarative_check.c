/* Each item of a declarative document by its entity's table. */
#include "control-plane/model/declarative_internal.h"
#include "control-plane/model/validate.h"
#include "control-plane/model/verification.h"

static const struct {
	const char *name;
	json_type type;
	const char *text;
} metas[] = {
	{"_transform", JSON_TRUE, "expected a boolean"},
	{"_comment", JSON_STRING, "expected a string"},
	{"_ignore", JSON_ARRAY, "expected an array"},
	/* decK's: what it selects by means nothing here. */
	{"_info", JSON_OBJECT, "expected a record"},
};

bool declarative_meta(const char *name, const json_t *value, const char **text)
{
	*text = NULL;
	for (size_t i = 0; i < array_len(metas); i++) {
		if (strcmp(metas[i].name, name) != 0) /* not secret */
			continue;
		if (!json_is_null(value) && json_typeof(value) != metas[i].type &&
		    !(metas[i].type == JSON_TRUE && json_is_boolean(value)))
			*text = metas[i].text;
		return true;
	}
	return false;
}

/* Before 3.0 a path was a regular expression by its looks. */
static int mark_regexes(json_t *copy)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789.-_~/%";
	json_t *paths = json_copy(json_object_get(copy, "paths"));
	int rc = 0;

	if (!json_is_array(paths)) {
		json_decref(paths);
		return 0;
	}
	for (size_t i = 0; i < json_array_size(paths); i++) {
		const char *path = json_string_value(json_array_get(paths, i));

		if (path && path[0] != '~' && path[strspn(path, plain)])
			rc |= json_array_set_new(paths, i, json_sprintf("~%s", path));
	}
	return rc | json_object_set_new(copy, "paths", paths);
}

/* The item's own fields with its id and references in full; NULL: out of memory. */
static json_t *complete(const struct declarative *d, const struct declarative_item *item)
{
	const struct entity *t = item->entity;
	json_t *copy = declarative_own(t, item->input);
	const json_t *id = json_object_get(item->input, "id");
	int rc = copy ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < 2; i++)
		json_object_del(copy, i ? "_ignore" : "_comment");
	if (rc == 0 && (!id || json_is_null(id)))
		rc = json_object_set_new(copy, "id", json_string(item->id));
	for (size_t i = 0; rc == 0 && i < t->field_count; i++) {
		const char *to = t->fields[i].type == FIELD_FOREIGN
					 ? declarative_refers(d, item, &t->fields[i])
					 : NULL;

		if (to)
			rc = json_object_set_new(copy, t->fields[i].name,
						 json_pack("{s:s}", "id", to));
	}
	if (rc == 0 && t == &entity_routes && strcmp(d->format_version, "3.0") != 0)
		rc = mark_regexes(copy);
	if (rc == 0)
		return copy;
	json_decref(copy);
	return NULL;
}

/* What was found of the item before goes with what its table found. Takes v's trees. */
static int keep_violations(struct declarative_item *item, struct violations *v)
{
	int rc = 0;

	if (!v->fields && !v->entity)
		return 0;
	if (!v->fields)
		v->fields = json_object();
	if (item->violations)
		rc = json_object_update(v->fields, item->violations);
	if (v->entity)
		rc |= json_object_set(v->fields, "@entity", v->entity);
	json_decref(item->violations);
	item->violations = json_incref(v->fields);
	return rc;
}

static void check_metas(struct declarative_item *item, struct violations *v)
{
	static const char *const names[] = {"_comment", "_ignore"};

	for (size_t i = 0; i < array_len(names); i++) {
		const json_t *value = json_object_get(item->input, names[i]);
		const char *text = NULL;

		if (value && declarative_meta(names[i], value, &text) && text)
			violations_add(v, names[i], "%s", text);
	}
}

static int check_item(struct declarative *d, struct declarative_item *item)
{
	json_t *copy = complete(d, item);
	struct violations v;
	int rc = -1;

	violations_init(&v);
	if (copy) {
		item->row = entity_create(item->entity, copy, d->options.now_ms, &v);
		check_metas(item, &v);
		entity_refuse_transient(item->entity, item->row, &v);
		if (d->options.verify)
			verification_check(item->entity, item->row, &v);
		rc = v.no_memory ? -1 : keep_violations(item, &v);
	}
	if (item->violations) {
		json_decref(item->row);
		item->row = NULL;
	}
	violations_deinit(&v);
	json_decref(copy);
	return rc;
}

int declarative_check(struct declarative *d, size_t from, size_t to, struct err *e)
{
	for (size_t i = from; i < to && i < d->count; i++)
		if (check_item(d, &d->items[i]) < 0)
			return err_memory(e, "declarative configuration");
	return 0;
}
