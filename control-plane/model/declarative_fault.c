/* What is wrong with a declarative document, in Kong's shapes: the tree, the same tree as a table
 * of Lua in the message, the list by entity, and lines of text. */
#include <stdio.h>
#include <stdlib.h>

#include "control-plane/model/declarative_internal.h"

/* --- the tree --- */

static int pad(json_t *list, size_t n)
{
	while (json_array_size(list) < n)
		if (json_array_append_new(list, json_null()) < 0)
			return -1;
	return 0;
}

/* The element at a 1-based position, an object that is made when there is none; NULL: something
 * else stands there. */
static json_t *element(json_t *list, size_t position)
{
	json_t *one = json_array_get(list, position - 1);

	if (json_is_object(one))
		return one;
	if ((one && !json_is_null(one)) || !json_is_array(list) || pad(list, position) < 0)
		return NULL;
	json_array_set_new(list, position - 1, json_object());
	return json_array_get(list, position - 1);
}

static json_t *list_below(json_t *node, const char *name)
{
	if (node && !json_object_get(node, name))
		json_object_set_new(node, name, json_array());
	return json_object_get(node, name);
}

/* The list in which the item's violations stand. */
static json_t *list_of(const struct declarative *d, json_t *tree,
		       const struct declarative_item *item)
{
	json_t *node = tree;

	if (item->parent != DECLARATIVE_TOP) {
		const struct declarative_item *parent = &d->items[item->parent];

		node = element(list_of(d, tree, parent), parent->position);
	}
	return list_below(node, item->entity->name);
}

static void add_violations(const struct declarative *d, json_t *tree,
			   const struct declarative_item *item)
{
	json_t *own = json_deep_copy(item->violations);
	json_t *node = element(list_of(d, tree, item), item->position);

	if (node && own)
		(void)!json_object_update_missing(node, own);
	json_decref(own);
}

/* A list becomes an object when something in it is told under a name. */
static json_t *named_list(json_t *tree, const char *name)
{
	json_t *list = list_below(tree, name);
	json_t *named;

	if (json_is_object(list))
		return list;
	named = json_object();
	for (size_t i = 0; i < json_array_size(list); i++) {
		char position[24];

		snprintf(position, sizeof(position), "%zu", i + 1);
		if (!json_is_null(json_array_get(list, i)))
			json_object_set(named, position, json_array_get(list, i));
	}
	json_object_set_new(tree, name, named);
	return named;
}

static bool is_reference(const char *text)
{
	return str_starts(str_from(text), STR("invalid reference"));
}

static void add_named(json_t *tree, const char *list, const char *key, json_t *text)
{
	json_t *named = named_list(tree, list);

	if (!is_reference(json_string_value(text))) {
		json_object_set(named, key, text);
		return;
	}
	if (!json_is_array(json_object_get(named, key)))
		json_object_set_new(named, key, json_array());
	json_array_append(json_object_get(named, key), text);
}

static void add_positioned(const struct declarative *d, json_t *tree,
			   const struct declarative_item *item, json_t *text)
{
	json_t *list = list_of(d, tree, item);
	char position[24];

	snprintf(position, sizeof(position), "%zu", item->position);
	if (json_is_object(list))
		json_object_set(list, position, text);
	else if (json_is_array(list) && pad(list, item->position) == 0)
		json_array_set(list, item->position - 1, text);
}

static void add_late(const struct declarative *d, json_t *tree, const json_t *late)
{
	const struct declarative_item *item =
		&d->items[json_integer_value(json_object_get(late, "item"))];
	const char *key = json_string_value(json_object_get(late, "key"));
	json_t *text = json_object_get(late, "text");

	if (key)
		add_named(tree, item->entity->name, key, text);
	else
		add_positioned(d, tree, item, text);
}

static json_t *make_tree(const struct declarative *d)
{
	json_t *tree = d->top ? json_deep_copy(d->top) : json_object();
	size_t told = 0;

	for (size_t i = 0; i < d->count && told < DECLARATIVE_REFUSED_MAX; i++) {
		if (!d->items[i].violations)
			continue;
		add_violations(d, tree, &d->items[i]);
		told++;
	}
	for (size_t i = 0; i < json_array_size(d->late) && i < DECLARATIVE_REFUSED_MAX; i++)
		add_late(d, tree, json_array_get(d->late, i));
	return tree;
}

/* --- sorted keys --- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of an object, sorted; for free(). */
static const char **sorted_keys(json_t *object)
{
	const char **names = calloc(json_object_size(object) + 1, sizeof(*names));
	size_t n = 0;

	for (void *it = json_object_iter(object); names && it;
	     it = json_object_iter_next(object, it))
		names[n++] = json_object_iter_key(it);
	if (names)
		qsort(names, n, sizeof(*names), by_name);
	return names;
}

/* --- as a table of Lua --- */

static bool is_identifier(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
				  "0123456789";

	return s[0] && strchr(letters, s[0]) && s[strspn(s, all)] == '\0';
}

static int lua_string(struct buf *out, const char *s)
{
	int rc = buf_add_str(out, STR("\""), NULL);

	for (; *s && rc == 0; s++) {
		if (*s == '"' || *s == '\\')
			rc = buf_addf(out, NULL, "\\%c", *s);
		else if (*s == '\n')
			rc = buf_add_str(out, STR("\\n"), NULL);
		else
			rc = buf_add(out, s, 1, NULL);
	}
	return rc < 0 ? -1 : buf_add_str(out, STR("\""), NULL);
}

static int lua_value(struct buf *out, json_t *value);

static int lua_list(struct buf *out, json_t *list)
{
	bool sparse = false;
	const char *gap = "";
	int rc = 0;

	for (size_t i = 0; i < json_array_size(list) && rc == 0; i++) {
		json_t *one = json_array_get(list, i);

		if (json_is_null(one)) {
			sparse = true;
			continue;
		}
		rc = sparse ? buf_addf(out, NULL, "%s[%zu]=", gap, i + 1)
			    : buf_addf(out, NULL, "%s", gap);
		if (rc == 0)
			rc = lua_value(out, one);
		gap = ",";
	}
	return rc;
}

static int lua_object(struct buf *out, json_t *object)
{
	const char **names = sorted_keys(object);
	int rc = names ? 0 : -1;

	for (size_t i = 0; rc == 0 && names[i]; i++) {
		if (i)
			rc = buf_add_str(out, STR(","), NULL);
		if (rc == 0 && is_identifier(names[i]))
			rc = buf_addf(out, NULL, "%s=", names[i]);
		else if (rc == 0)
			rc = buf_add_str(out, STR("["), NULL) | lua_string(out, names[i]) |
			     buf_add_str(out, STR("]="), NULL);
		if (rc == 0)
			rc = lua_value(out, json_object_get(object, names[i]));
	}
	free(names);
	return rc;
}

static int lua_value(struct buf *out, json_t *value)
{
	int rc;

	if (json_is_string(value))
		return lua_string(out, json_string_value(value));
	rc = buf_add_str(out, STR("{"), NULL);
	if (rc == 0)
		rc = json_is_array(value) ? lua_list(out, value) : lua_object(out, value);
	return rc < 0 ? -1 : buf_add_str(out, STR("}"), NULL);
}

/* Cut where a character of UTF-8 begins. */
static void cut(struct buf *text)
{
	size_t n = DECLARATIVE_MESSAGE_MAX;

	if (text->len <= n)
		return;
	while (n > 0 && ((unsigned char)text->data[n] & 0xc0) == 0x80)
		n--;
	text->data[n] = '\0';
	text->len = n;
}

static json_t *make_body(json_t *tree)
{
	struct buf text = BUF_INIT;
	json_t *body = NULL;

	if (tree && buf_add_str(&text, STR("declarative config is invalid: "), NULL) == 0 &&
	    lua_value(&text, tree) == 0) {
		cut(&text);
		body = json_pack("{s:i, s:s, s:s, s:O}", "code", 14, "name",
				 "invalid declarative configuration", "message", text.data,
				 "fields", tree);
	}
	buf_deinit(&text);
	return body;
}

/* --- by entity --- */

static void flatten_texts(json_t *errors, const char *path, json_t *node);

static void flatten_below(json_t *errors, const char *path, const char *name, json_t *child)
{
	char *below = NULL;

	if (asprintf(&below, "%s%s%s", path, path[0] ? "." : "", name) < 0)
		return;
	flatten_texts(errors, below, child);
	free(below);
}

static void flatten_entity_texts(json_t *errors, json_t *texts)
{
	for (size_t i = 0; i < json_array_size(texts); i++)
		json_array_append_new(errors, json_pack("{s:s, s:O}", "type", "entity", "message",
							json_array_get(texts, i)));
}

static void flatten_texts(json_t *errors, const char *path, json_t *node)
{
	const char *name;
	json_t *child;

	if (json_is_string(node))
		json_array_append_new(errors, json_pack("{s:s, s:s, s:O}", "type", "field", "field",
							path, "message", node));
	for (size_t i = 0; i < json_array_size(node); i++) {
		char position[24];

		snprintf(position, sizeof(position), "%zu", i + 1);
		flatten_below(errors, path, position, json_array_get(node, i));
	}
	json_object_foreach(node, name, child)
	{
		if (path[0] == '\0' && strcmp(name, "@entity") == 0) /* not secret */
			flatten_entity_texts(errors, child);
		else
			flatten_below(errors, path, name, child);
	}
}

static bool are_texts(const json_t *tags)
{
	for (size_t i = 0; i < json_array_size(tags); i++)
		if (!json_is_string(json_array_get(tags, i)))
			return false;
	return json_is_array(tags);
}

static bool is_id(const json_t *value)
{
	return json_is_string(value) &&
	       uuid_is((struct str){json_string_value(value), json_string_length(value)});
}

/* The entity as it was sent, without what is nested in it; below a parent with an id, with that. */
static json_t *as_sent(const struct declarative *d, const struct declarative_item *item)
{
	json_t *own = declarative_own(item->entity, item->input);
	const struct declarative_item *parent;
	const struct field *f;
	json_t *id;

	if (item->parent == DECLARATIVE_TOP)
		return own;
	parent = &d->items[item->parent];
	f = entity_reference(item->entity, parent->entity);
	id = json_object_get(parent->input, "id");
	if (f && is_id(id) && !json_object_get(own, f->name))
		json_object_set_new(own, f->name, json_pack("{s:O}", "id", id));
	return own;
}

/* errors is taken over. */
static void flatten_item(const struct declarative *d, json_t *out,
			 const struct declarative_item *item, json_t *errors)
{
	json_t *one = json_pack("{s:s, s:o, s:o}", "entity_type", item->entity->singular, "entity",
				as_sent(d, item), "errors", errors);
	json_t *name = json_object_get(item->input, "name");
	json_t *id = json_object_get(item->input, "id");
	json_t *tags = json_object_get(item->input, "tags");

	if (json_string_length(name))
		json_object_set(one, "entity_name", name);
	if (is_id(id))
		json_object_set(one, "entity_id", id);
	if (are_texts(tags))
		json_object_set(one, "entity_tags", tags);
	json_array_append_new(out, one);
}

static json_t *flatten(const struct declarative *d)
{
	json_t *out = json_array();

	for (size_t i = 0; i < d->count && json_array_size(out) < DECLARATIVE_REFUSED_MAX; i++) {
		json_t *errors;

		if (!d->items[i].violations)
			continue;
		errors = json_array();
		flatten_texts(errors, "", d->items[i].violations);
		flatten_item(d, out, &d->items[i], errors);
	}
	for (size_t i = 0; i < json_array_size(d->late) && i < DECLARATIVE_REFUSED_MAX; i++) {
		const json_t *late = json_array_get(d->late, i);

		flatten_item(d, out, &d->items[json_integer_value(json_object_get(late, "item"))],
			     json_pack("[{s:s, s:O}]", "type", "entity", "message",
				       json_object_get(late, "text")));
	}
	return out;
}

json_t *declarative_fault(const struct declarative *d, bool by_entity)
{
	json_t *tree, *body;

	if (by_entity)
		tree = d->top ? json_deep_copy(d->top) : json_object();
	else
		tree = make_tree(d);
	body = make_body(tree);
	if (body && by_entity)
		json_object_set_new(body, "flattened_errors", flatten(d));
	json_decref(tree);
	return body;
}

json_t *declarative_parse_fault(const struct err *e)
{
	json_t *tree = json_pack("{s:s}", "error", e->message);
	json_t *body;

	/* What does not parse may be no text. */
	if (!tree)
		tree = json_pack("{s:s}", "error", "failed parsing declarative configuration");
	body = make_body(tree);
	json_decref(tree);
	return body;
}

/* --- as lines --- */

static int print_node(struct buf *out, json_t *node, const char *name, unsigned depth);

/* child stands behind head, or below it when it is no text. */
static int print_child(struct buf *out, const char *head, json_t *child, const char *name,
		       unsigned depth)
{
	int rc = buf_addf(out, NULL, "%s%*s%s:", out->len ? "\n" : "", (int)depth * 2, "", head);

	if (rc == 0 && json_is_string(child))
		rc = buf_addf(out, NULL, " %s", json_string_value(child));
	else if (rc == 0)
		rc = print_node(out, child, name, depth + 1);
	return rc;
}

static int print_node(struct buf *out, json_t *node, const char *name, unsigned depth)
{
	const char **names = json_is_object(node) ? sorted_keys(node) : NULL;
	int rc = json_is_object(node) && !names ? -1 : 0;
	struct buf head = BUF_INIT;

	for (size_t i = 0; names && names[i] && rc == 0; i++) {
		buf_clear(&head);
		rc = buf_addf(&head, NULL, "in '%s'", names[i]);
		if (rc == 0)
			rc = print_child(out, head.data, json_object_get(node, names[i]), names[i],
					 depth);
	}
	for (size_t i = 0; i < json_array_size(node) && rc == 0; i++) {
		if (json_is_null(json_array_get(node, i)))
			continue;
		buf_clear(&head);
		rc = buf_addf(&head, NULL, "- in entry %zu of '%s'", i + 1, name);
		if (rc == 0)
			rc = print_child(out, head.data, json_array_get(node, i), name, depth);
	}
	buf_deinit(&head);
	free(names);
	return rc;
}

int declarative_print(const struct declarative *d, struct buf *out, struct err *e)
{
	json_t *tree = make_tree(d);
	int rc = tree ? print_node(out, tree, "", 0) : -1;

	json_decref(tree);
	return rc < 0 ? err_memory(e, "printing what is wrong") : 0;
}

json_t *declarative_show(const struct declarative *d)
{
	json_t *out = json_object();

	for (size_t i = 0; out && i < d->count; i++) {
		const struct declarative_item *item = &d->items[i];
		json_t *kind = json_object_get(out, item->entity->name);
		json_t *shown = item->row ? entity_show(item->entity, item->row, true) : NULL;

		if (!item->row)
			continue;
		if (!kind) {
			kind = json_object();
			json_object_set_new(out, item->entity->name, kind);
		}
		if (json_object_set_new(kind, item->id, shown) < 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}
