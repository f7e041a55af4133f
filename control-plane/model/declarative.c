/* A declarative document into items, and their checks.
 *
 *   kinds in reference order; of each kind the list on top, then the lists nested in items of
 *   earlier kinds: so what an item refers to is always there before it, with its id.
 */
#include "control-plane/model/declarative.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/core/map.h"
#include "common/http/body.h"
#include "control-plane/model/declarative_internal.h"
#include "control-plane/model/validate.h"
#include "control-plane/model/yaml_read.h"

/* Stands for what an item refers to in vain, until that is told. */
static const char nowhere[] = "00000000-0000-0000-0000-000000000000";

struct declarative_index {
	struct map by_id, by_key;
	size_t first, end; /* of the kind's items */
};

struct opener {
	struct declarative *d;
	struct declarative_index kinds[DECLARATIVE_KINDS_MAX];
	struct map occurrences; /* of ids made out of content: how many */
};

/* --- parsing --- */

static bool is_json_name(const char *file)
{
	return str_ends(str_from(file), STR("json"));
}

static bool is_yaml_name(const char *file)
{
	return str_ends(str_from(file), STR("yaml")) || str_ends(str_from(file), STR("yml"));
}

static int parse_yaml(json_t **out, struct str text, struct err *e)
{
	static const struct yaml_limits limits = {DECLARATIVE_DEPTH_MAX, DECLARATIVE_ALIASED_MAX};

	if (yaml_read(out, text, &limits, e) < 0)
		return -1;
	if (json_is_object(*out))
		return 0;
	json_decref(*out);
	*out = NULL;
	return err_set(e, ERR_INVALID, "expected an object");
}

int declarative_parse(json_t **out, struct str text, const char *file, struct err *e)
{
	struct err why = ERR_INIT;

	*out = NULL;
	if (file && !is_json_name(file) && !is_yaml_name(file))
		return err_set(e, ERR_INVALID,
			       "unknown file type: %s. (Accepted types: json, yaml)", file);
	if ((!file || is_json_name(file)) && body_json(out, text, &why) == 0)
		return 0;
	if (why.kind != ERR_MEMORY && (!file || is_yaml_name(file)) &&
	    parse_yaml(out, text, &why) == 0)
		return 0;
	if (e)
		*e = why;
	return err_prefix(e, "failed parsing declarative configuration");
}

/* --- violations --- */

static void refuse_item(struct declarative *d, size_t i, const struct path *p, const char *text)
{
	struct violations v = {.fields = d->items[i].violations};

	violations_add_at(&v, p, "%s", text);
	d->items[i].violations = v.fields;
	d->no_memory |= v.no_memory;
}

static void refuse_top(struct declarative *d, const struct path *p, const char *text)
{
	struct violations v = {.fields = d->top};

	violations_add_at(&v, p, "%s", text);
	d->top = v.fields;
	d->no_memory |= v.no_memory;
}

/* position 0: the list itself. */
static void refuse_list(struct declarative *d, size_t parent, const char *name, size_t position,
			const char *text)
{
	struct path p = {.count = 0};

	path_push(&p, (struct step){str_from(name), 0});
	if (position)
		path_push(&p, (struct step){STR_NONE, position});
	if (parent == DECLARATIVE_TOP)
		refuse_top(d, &p, text);
	else
		refuse_item(d, parent, &p, text);
}

static void refuse_field(struct declarative *d, size_t i, const char *name, const char *text)
{
	refuse_list(d, i, name, 0, text);
}

void declarative_late(struct declarative *d, size_t item, const char *key, const char *fmt, ...)
{
	char *raw = NULL;
	va_list args;
	json_t *one;

	va_start(args, fmt);
	if (vasprintf(&raw, fmt, args) < 0)
		raw = NULL;
	va_end(args);
	one = raw ? json_pack("{s:I, s:s?, s:s}", "item", (json_int_t)item, "key", key, "text", raw)
		  : NULL;
	free(raw);
	if (!d->late)
		d->late = json_array();
	if (!one || json_array_append_new(d->late, one) < 0)
		d->no_memory = true;
}

/* --- what stands where --- */

bool declarative_has(const struct entity *t)
{
	return !t->internal;
}

bool declarative_nests(const struct entity *t, const struct entity *child)
{
	return declarative_has(child) && entity_reference(child, t);
}

json_t *declarative_own(const struct entity *t, const json_t *input)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)input);
	const struct entity *child;

	for (size_t i = 0; copy && (child = entity_at(i)); i++)
		if (declarative_nests(t, child))
			json_object_del(copy, child->name);
	return copy;
}

static size_t kind_of(const struct entity *t)
{
	size_t i = 0;

	while (entity_at(i) != t)
		i++;
	return i;
}

const char *declarative_refers(const struct declarative *d, const struct declarative_item *item,
			       const struct field *f)
{
	const struct declarative_item *parent =
		item->parent == DECLARATIVE_TOP ? NULL : &d->items[item->parent];

	if (parent && strcmp(f->reference, parent->entity->name) == 0) /* not secret */
		return parent->id;
	return json_string_value(json_object_get(json_object_get(item->references, f->name), "id"));
}

/* --- references --- */

static size_t find(const struct declarative_index *x, struct str key)
{
	unsigned char bytes[16];
	char id[UUID_TEXT_SIZE];
	void *found = map_get(&x->by_key, key);

	if (!found && uuid_is(key)) {
		uuid_bytes(key, bytes);
		uuid_text(bytes, id);
		found = map_get(&x->by_id, str_from(id));
	}
	return found ? (size_t)(uintptr_t)found - 1 : DECLARATIVE_TOP;
}

static struct str text_of(const json_t *value)
{
	return (struct str){json_string_value(value), json_string_length(value)};
}

/* What a reference says: a text, or an object with an id or the name. NULL: neither. */
static const json_t *reference_key(const struct entity *to, const json_t *given)
{
	const json_t *key = json_object_get(given, "id");

	if (json_is_string(given))
		return given;
	if (!json_is_string(key) && to->endpoint_key)
		key = json_object_get(given, to->endpoint_key);
	return json_is_string(key) ? key : NULL;
}

static void note_broken(struct declarative *d, size_t i, const struct field *f, const json_t *given)
{
	const struct declarative_item *item = &d->items[i];
	const json_t *name = item->entity->endpoint_key
				     ? json_object_get(item->input, item->entity->endpoint_key)
				     : NULL;
	char *dumped = json_is_string(given) ? NULL : json_dumps(given, JSON_COMPACT);
	const char *shown = json_is_string(given) ? json_string_value(given) : dumped;

	declarative_late(d, i, json_is_string(name) ? json_string_value(name) : item->id,
			 "invalid reference '%s: %s' (no such entry in '%s')", f->name,
			 shown ? shown : "", f->reference);
	free(dumped);
}

static void set_reference(struct declarative *d, size_t i, const struct field *f, const char *id)
{
	json_t *all = d->items[i].references;

	if (!all)
		all = d->items[i].references = json_object();
	if (json_object_set_new(all, f->name, json_pack("{s:s}", "id", id)) < 0)
		d->no_memory = true;
}

static void resolve(struct opener *o, size_t i, const struct field *f, const json_t *given)
{
	struct declarative *d = o->d;
	const struct entity *to = entity_find(str_from(f->reference));
	const json_t *key = to ? reference_key(to, given) : NULL;
	size_t found;

	if (!key) {
		refuse_field(d, i, f->name,
			     json_is_object(given) ? "missing primary key" : "expected a string");
		return;
	}
	found = find(&o->kinds[kind_of(to)], text_of(key));
	if (found != DECLARATIVE_TOP) {
		set_reference(d, i, f, d->items[found].id);
	} else if (d->options.open && uuid_is(text_of(key))) {
		set_reference(d, i, f, json_string_value(key));
	} else {
		set_reference(d, i, f, nowhere);
	}
}

/* After the item's id is known, which may be what it is told under. */
static void note_all_broken(struct declarative *d, size_t i)
{
	const struct declarative_item *item = &d->items[i];
	const char *name;
	json_t *to;

	json_object_foreach(item->references, name, to)
	{
		const char *id = json_string_value(json_object_get(to, "id"));

		if (strcmp(id, nowhere) == 0) /* not secret */
			note_broken(d, i, entity_field(item->entity, str_from(name)),
				    json_object_get(item->input, name));
	}
}

static void resolve_all(struct opener *o, size_t i)
{
	const struct declarative_item *item = &o->d->items[i];
	const struct entity *t = item->entity;
	const struct entity *above =
		item->parent == DECLARATIVE_TOP ? NULL : o->d->items[item->parent].entity;

	for (size_t k = 0; k < t->field_count; k++) {
		const struct field *f = &t->fields[k];
		const json_t *given = json_object_get(item->input, f->name);

		if (f->type != FIELD_FOREIGN || !given || json_is_null(given))
			continue;
		if (above && strcmp(f->reference, above->name) == 0) /* not secret */
			refuse_field(o->d, i, f->name, "value must be null");
		else
			resolve(o, i, f, given);
	}
}

/* --- items --- */

/* The first of a name or id is what others refer to; a second one is told of in the end. */
static void index_one(struct opener *o, struct map *m, struct str key, size_t i)
{
	struct err e = ERR_INIT;

	if (!map_get(m, key) && map_put(m, key, (void *)(uintptr_t)(i + 1), NULL, &e) < 0)
		o->d->no_memory = true;
}

static int grow(struct declarative *d, struct err *e)
{
	size_t cap = d->item_cap ? d->item_cap * 2 : 64;
	struct declarative_item *bigger;

	if (d->count < d->item_cap)
		return 0;
	bigger = realloc(d->items, cap * sizeof(*bigger));
	if (!bigger)
		return err_memory(e, "declarative configuration");
	d->items = bigger;
	d->item_cap = cap;
	return 0;
}

static int add_item(struct opener *o, const struct entity *t, const json_t *input, size_t parent,
		    size_t position, struct err *e)
{
	struct declarative *d = o->d;
	struct declarative_index *x = &o->kinds[kind_of(t)];
	const json_t *name = t->endpoint_key ? json_object_get(input, t->endpoint_key) : NULL;
	size_t i = d->count;

	if (grow(d, e) < 0)
		return -1;
	d->items[i] = (struct declarative_item){
		.entity = t, .input = input, .parent = parent, .position = position};
	d->count++;
	resolve_all(o, i);
	if (declarative_take_id(d, &d->items[i], &o->occurrences) < 0)
		d->no_memory = true;
	note_all_broken(d, i);
	index_one(o, &x->by_id, str_from(d->items[i].id), i);
	if (json_is_string(name) && !t->below_parent)
		index_one(o, &x->by_key, text_of(name), i);
	return d->no_memory ? err_memory(e, "declarative configuration") : 0;
}

/* An SNI below its certificate may be its name alone, as in the admin API. */
static json_t *record_of(const struct entity *t, size_t parent, json_t *list, size_t i)
{
	json_t *one = json_array_get(list, i);

	if (t == &entity_snis && parent != DECLARATIVE_TOP && json_is_string(one)) {
		if (json_array_set_new(list, i, json_pack("{s:O}", "name", one)) < 0)
			return NULL;
		one = json_array_get(list, i);
	}
	return one;
}

static int add_list(struct opener *o, const struct entity *t, json_t *list, size_t parent,
		    struct err *e)
{
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list)) {
		refuse_list(o->d, parent, t->name, 0, "expected an array");
		return 0;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = record_of(t, parent, list, i);

		if (o->d->count == DECLARATIVE_ITEMS_MAX) {
			refuse_list(o->d, DECLARATIVE_TOP, "error", 0,
				    "too many entities in one document");
			return 0;
		}
		if (!json_is_object(one))
			refuse_list(o->d, parent, t->name, i + 1, "expected a record");
		else if (add_item(o, t, one, parent, i + 1, e) < 0)
			return -1;
	}
	return 0;
}

static int add_kind(struct opener *o, size_t kind, struct err *e)
{
	const struct entity *t = entity_at(kind);
	struct declarative *d = o->d;

	o->kinds[kind].first = o->kinds[kind].end = d->count;
	if (!declarative_has(t))
		return 0;
	if (add_list(o, t, json_object_get(d->document, t->name), DECLARATIVE_TOP, e) < 0)
		return -1;
	for (size_t p = 0; p < kind; p++) {
		if (!declarative_nests(entity_at(p), t))
			continue;
		for (size_t i = o->kinds[p].first; i < o->kinds[p].end; i++)
			if (add_list(o, t, json_object_get(d->items[i].input, t->name), i, e) < 0)
				return -1;
	}
	o->kinds[kind].end = d->count;
	return 0;
}

/* --- the document's own fields --- */

static void check_version(struct declarative *d)
{
	static const char *const versions[] = {"1.1", "2.1", "3.0"};
	const json_t *given = json_object_get(d->document, "_format_version");

	if (!given || json_is_null(given)) {
		refuse_list(d, DECLARATIVE_TOP, "_format_version", 0, "required field missing");
		return;
	}
	if (!json_is_string(given)) {
		refuse_list(d, DECLARATIVE_TOP, "_format_version", 0, "expected a string");
		return;
	}
	for (size_t i = 0; i < array_len(versions); i++)
		if (strcmp(versions[i], json_string_value(given)) == 0)
			snprintf(d->format_version, sizeof(d->format_version), "%s", versions[i]);
	if (!d->format_version[0])
		refuse_list(d, DECLARATIVE_TOP, "_format_version", 0,
			    "expected one of: 1.1, 2.1, 3.0");
}

static void check_top(struct declarative *d)
{
	json_t *transform = json_object_get(d->document, "_transform");
	const char *name, *text;
	json_t *value;

	d->transform = !json_is_false(transform);
	check_version(d);
	json_object_foreach(d->document, name, value)
	{
		const struct entity *t = entity_find(str_from(name));

		if ((t && declarative_has(t)) ||
		    strcmp(name, "_format_version") == 0) /* not secret */
			continue;
		if (!declarative_meta(name, value, &text))
			text = "unknown field";
		if (text)
			refuse_list(d, DECLARATIVE_TOP, name, 0, text);
	}
}

int declarative_open(struct declarative *d, json_t *document, const struct declarative_options *o,
		     struct err *e)
{
	struct opener opener = {.d = d};
	int rc = 0;

	memset(d, 0, sizeof(*d));
	d->document = json_incref(document);
	d->options = *o;
	for (size_t i = 0; i < array_len(opener.kinds); i++) {
		map_init(&opener.kinds[i].by_id);
		map_init(&opener.kinds[i].by_key);
	}
	map_init(&opener.occurrences);
	check_top(d);
	for (size_t kind = 0; entity_at(kind) && kind < DECLARATIVE_KINDS_MAX && rc == 0; kind++)
		rc = add_kind(&opener, kind, e);
	for (size_t i = 0; i < array_len(opener.kinds); i++) {
		map_deinit(&opener.kinds[i].by_id);
		map_deinit(&opener.kinds[i].by_key);
	}
	map_deinit(&opener.occurrences);
	if (rc == 0 && d->no_memory)
		rc = err_memory(e, "declarative configuration");
	return rc;
}

/* --- the end --- */

int declarative_close(struct declarative *d, struct err *e)
{
	d->refused = 0;
	for (size_t i = 0; i < d->count; i++)
		d->refused += d->items[i].violations != NULL;
	if (d->refused || d->top) {
		json_decref(d->late);
		d->late = NULL;
	} else {
		declarative_unique(d);
	}
	return d->no_memory ? err_memory(e, "declarative configuration") : 0;
}

int declarative_read(struct declarative *d, json_t *document, const struct declarative_options *o,
		     struct err *e)
{
	if (declarative_open(d, document, o, e) < 0 || declarative_check(d, 0, d->count, e) < 0)
		return -1;
	return declarative_close(d, e);
}

bool declarative_refused(const struct declarative *d)
{
	return d->refused || d->top || d->late;
}

void declarative_deinit(struct declarative *d)
{
	for (size_t i = 0; i < d->count; i++) {
		json_decref(d->items[i].row);
		json_decref(d->items[i].references);
		json_decref(d->items[i].violations);
	}
	free(d->items);
	json_decref(d->document);
	json_decref(d->top);
	json_decref(d->late);
	memset(d, 0, sizeof(*d));
}
