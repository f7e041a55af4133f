#include "control-plane/cli/resource.h"

#include "control-plane/cli/api.h"

const struct entity *resource_entity(struct str name)
{
	const struct entity *t;

	for (size_t i = 0; (t = entity_at(i)); i++)
		if (!t->internal &&
		    (str_eq(name, str_from(t->name)) || str_eq(name, str_from(t->singular)) ||
		     entity_of_path(name, true) == t))
			return t;
	return NULL;
}

static int refuse_unknown(struct str name, struct err *e)
{
	struct buf known = BUF_INIT;
	const struct entity *t;
	int rc = 0;

	for (size_t i = 0; (t = entity_at(i)) && rc == 0; i++)
		if (!t->internal)
			rc = buf_addf(&known, e, "%s%s", known.len ? ", " : "", t->name);
	if (rc == 0)
		err_set(e, ERR_INVALID, "no entity %.*s; there are: %s",
			(int)(name.len < 64 ? name.len : 64), name.ptr, known.data);
	buf_deinit(&known);
	return -1;
}

const struct field *resource_parent_field(const struct entity *t)
{
	size_t i = 0;

	while (i < t->field_count && t->fields[i].type != FIELD_FOREIGN)
		i++;
	assert(i < t->field_count);
	return &t->fields[i];
}

static int check_shape(const struct resource *r, struct str key, const char *text, struct err *e)
{
	if (!r->parent && r->entity->below_parent)
		return err_set(e, ERR_INVALID, "%s are below something: %s/KEY/%s", r->entity->name,
			       resource_parent_field(r->entity)->reference, r->entity->name);
	if (r->parent && (key.len == 0 || !entity_reference(r->entity, r->parent)))
		return err_set(e, ERR_INVALID, "%s: no list of %s below %s", text, r->entity->name,
			       r->parent->name);
	return 0;
}

int resource_parse(struct resource *r, const char *text, struct err *e)
{
	struct str rest = str_from(text), first = STR("");
	struct str key = STR_NONE, last = STR_NONE;
	struct resource made = {0};
	int rc;

	(void)str_split(&rest, '/', &first);
	(void)str_split(&rest, '/', &key);
	if (str_split(&rest, '/', &last))
		made.parent = resource_entity(first);
	made.entity = resource_entity(last.ptr ? last : first);
	if (last.ptr && !made.parent)
		return refuse_unknown(first, e);
	if (!made.entity)
		return refuse_unknown(last.ptr ? last : first, e);
	if ((key.ptr && !last.ptr) || rest.ptr)
		return err_set(e, ERR_INVALID, "%s: expected ENTITY or ENTITY/KEY/ENTITY", text);
	if (check_shape(&made, key, text, e) < 0)
		return -1;
	rc = buf_addf(&made.path, e, "/%s",
		      entity_path(made.parent ? made.parent : made.entity, false));
	if (rc == 0 && made.parent)
		rc = buf_add_str(&made.path, STR("/"), e);
	if (rc == 0 && made.parent)
		rc = api_escape(&made.path, key, e);
	if (rc == 0 && made.parent)
		rc = buf_addf(&made.path, e, "/%s", entity_path(made.entity, true));
	if (rc < 0)
		buf_deinit(&made.path);
	else
		*r = made;
	return rc;
}

int resource_path(const struct resource *r, struct str key, struct buf *out, struct err *e)
{
	if (buf_addf(out, e, "%s/", r->path.data) < 0)
		return -1;
	return api_escape(out, key, e);
}

static struct str text_of(const json_t *row, const char *name)
{
	const json_t *value = name ? json_object_get(row, name) : NULL;

	return json_string_length(value)
		       ? (struct str){json_string_value(value), json_string_length(value)}
		       : STR_NONE;
}

static struct str first_sni(const json_t *row)
{
	const json_t *name = json_array_get(json_object_get(row, "snis"), 0);

	return json_string_length(name)
		       ? (struct str){json_string_value(name), json_string_length(name)}
		       : STR_NONE;
}

static struct str own_name(const struct entity *t, const json_t *row)
{
	return t == &entity_certificates ? first_sni(row) : text_of(row, t->endpoint_key);
}

struct str resource_key(const struct entity *t, const json_t *row)
{
	struct str id = text_of(row, "id");

	return id.ptr ? id : own_name(t, row);
}

const char *resource_name(const struct entity *t, const json_t *row)
{
	struct str name = own_name(t, row);

	if (!name.ptr)
		name = text_of(row, "id");
	return name.ptr ? name.ptr : "";
}
