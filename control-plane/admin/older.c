#include "control-plane/admin/older.h"

#include <stdio.h>
#include <string.h>

#include "common/core/codec.h"
#include "control-plane/model/plugin_schemas.h"

/* --- names in bodies --- */

/* An older name of a field of an entity. refers: it held an id where now an object stands. */
static const struct {
	const struct entity *entity;
	const char *older, *now;
	bool refers;
} names[] = {
	{&entity_plugins, "value", "config", false},
	{&entity_plugins, "api_id", "route", true},
	{&entity_plugins, "consumer_id", "consumer", true},
	{&entity_snis, "ssl_certificate_id", "certificate", true},
};

/* {"id": id}; what is no text stays what it is, for the schema to refuse. An empty text of a form
 * refers to nothing. */
static json_t *reference(json_t *id, bool form)
{
	if (form && json_is_string(id) && json_string_length(id) == 0)
		return json_null();
	return json_is_string(id) ? json_pack("{s:O}", "id", id) : json_incref(id);
}

/* "a.com,b.com" as a list. */
static void split_names(json_t *input)
{
	const char *text = json_string_value(json_object_get(input, "snis"));
	struct str rest = str_from(text), one;
	json_t *list;

	if (!text || !strchr(text, ','))
		return;
	list = json_array();
	while (str_split(&rest, ',', &one)) {
		one = str_trim(one);
		json_array_append_new(list, json_stringn(one.ptr, one.len));
	}
	json_object_set_new(input, "snis", list);
}

bool older_input(const struct entity *t, bool form, json_t *input)
{
	bool any = false;

	if (form && t == &entity_certificates)
		split_names(input);
	for (size_t i = 0; i < array_len(names); i++) {
		json_t *value = json_object_get(input, names[i].older);

		/* With both, the present name is what the schema looks at; it refuses the other. */
		if (t != names[i].entity || !value || json_object_get(input, names[i].now))
			continue;
		json_object_set_new(input, names[i].now,
				    names[i].refers ? reference(value, form) : json_incref(value));
		json_object_del(input, names[i].older);
		any = true;
	}
	return any;
}

json_t *older_names(struct admin_request *r, unsigned *status, json_t *body)
{
	if (*status >= 400)
		return body;
	for (size_t i = 0; i < array_len(names); i++) {
		json_t *value = json_object_get(body, names[i].now);

		if (r->entity == names[i].entity && names[i].refers && value)
			json_object_set(body, names[i].older,
					json_is_object(value) ? json_object_get(value, "id")
							      : value);
	}
	return body;
}

/* --- errors --- */

/* Texts of the schema as they were then. after_name: the field's name comes first. */
static const struct {
	const char *now; /* the beginning */
	const char *then;
	bool after_name;
} texts[] = {
	{"required field missing", "is required", true},
	{"unknown field", "is an unknown field", true},
	{"expected a boolean", "is not a boolean", true},
	{"expected a string", "is not a string", true},
	{"expected an integer", "is not a number", true},
	{"expected a number", "is not a number", true},
	{"expected an array", "is not an array", true},
	{"expected a record", "is not a table", true},
	{"invalid certificate", "Invalid SSL certificate", false},
	{"invalid key", "Invalid SSL certificate key", false},
};

static json_t *text_then(const char *name, const char *text)
{
	for (size_t i = 0; i < array_len(texts); i++) {
		if (strncmp(text, texts[i].now, strlen(texts[i].now)) != 0)
			continue;
		return texts[i].after_name ? json_sprintf("%s %s", name, texts[i].then)
					   : json_string(texts[i].then);
	}
	return json_string(text);
}

/* The first text in a tree of violations. */
static const char *first_text(const json_t *node)
{
	const char *text = json_string_value(node);
	const json_t *child;
	size_t i;

	json_array_foreach(node, i, child)
	{
		text = text ? text : first_text(child);
	}
	for (void *it = json_object_iter((json_t *)(uintptr_t)node); it && !text;
	     it = json_object_iter_next((json_t *)(uintptr_t)node, it))
		text = first_text(json_object_iter_value(it));
	return text;
}

/* Violations one record deep: {"config": {"cert": t}} gives "config.cert". */
static void add_texts(json_t *out, const char *before, const json_t *fields)
{
	json_t *node = (json_t *)(uintptr_t)fields;

	for (void *it = json_object_iter(node); it; it = json_object_iter_next(node, it)) {
		const char *name = json_object_iter_key(it);
		json_t *value = json_object_iter_value(it);
		const char *text = first_text(value);
		struct buf path = BUF_INIT;

		if (json_is_object(value) && !before) {
			add_texts(out, name, value);
			continue;
		}
		if (strcmp(name, "@entity") == 0)
			json_object_set_new(out, "message", json_string(text));
		else if (text && buf_addf(&path, NULL, "%s%s%s", before ? before : "",
					  before ? "." : "", name) == 0)
			json_object_set_new(out, path.data, text_then(name, text));
		buf_deinit(&path);
	}
}

/* {"name":"x"}, or for several fields each of those that are set. */
static json_t *taken(const json_t *fields)
{
	json_t *out = json_object();
	json_t *node = (json_t *)(uintptr_t)fields;

	for (void *it = json_object_iter(node); it; it = json_object_iter_next(node, it)) {
		const char *value = json_string_value(json_object_iter_value(it));

		if (value)
			json_object_set_new(out, json_object_iter_key(it),
					    json_sprintf("already exists with value '%s'", value));
	}
	return out;
}

static json_t *message_of(const json_t *body)
{
	return json_pack("{s:O?}", "message", json_object_get(body, "message"));
}

json_t *older_errors(struct admin_request *r, unsigned *status, json_t *body)
{
	json_int_t code = json_integer_value(json_object_get(body, "code"));
	const json_t *fields = json_object_get(body, "fields");
	json_t *out = NULL;

	(void)r;
	if (*status < 400 || code == 0)
		return body;
	switch (code) {
	case 2: /* schema violation */
		out = json_object();
		add_texts(out, NULL, fields);
		break;
	case 3: /* primary key */
	case 5: /* unique */
		*status = 409;
		out = taken(fields);
		break;
	case 1:	 /* a key that can name nothing */
	case 6:	 /* not found */
	case 10: /* a name that none can have */
		*status = 404;
		out = json_pack("{s:s}", "message", "Not found");
		break;
	case 4:	 /* foreign key */
	case 13: /* its name */
		if (!json_object_get(fields, "@referenced_by"))
			*status = 404;
		out = message_of(body);
		break;
	default:
		out = message_of(body);
		break;
	}
	if (!out)
		return body;
	json_decref(body);
	return out;
}

/* --- headers --- */

/* 2018-03-22: Kong 0.13 had services and routes. There is no Sunset: no day is set on which this
 * surface ends. */
static const struct str deprecation = {"@1521676800", 11};

static const struct {
	const struct entity *entity; /* of the path */
	struct str link;
} successors[] = {
	{&entity_plugins,
	 STR("</certificates>; rel=\"successor-version\", </snis>; rel=\"successor-version\", "
	     "</plugins>; rel=\"successor-version\"")},
	{&entity_snis, STR("</snis>; rel=\"successor-version\"")},
	{NULL, STR("</services>; rel=\"successor-version\", </routes>; rel=\"successor-version\"")},
};

int older_headers(struct http_fields *f, struct arena *a, const struct entity *t)
{
	size_t i = 0;

	while (successors[i].entity && successors[i].entity != t)
		i++;
	if (http_fields_add(f, a, STR("deprecation"), deprecation) < 0)
		return -1;
	return http_fields_add(f, a, STR("link"), successors[i].link);
}
