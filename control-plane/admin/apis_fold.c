/* Older names of an api's fields. */
#include "control-plane/admin/apis_fold.h"

#include <stdio.h>
#include <string.h>

const struct apis_alias apis_aliases[APIS_ALIASES] = {
	{"request_host", "hosts", true, false},
	{"public_dns", "hosts", true, false},
	{"request_path", "uris", true, true},
	{"path", "uris", true, true},
	{"strip_request_path", "strip_uri", false, false},
	{"strip_path", "strip_uri", false, false},
	{"target_url", "upstream_url", false, false},
};

bool apis_is_empty(const json_t *value)
{
	return !value || json_is_null(value) ||
	       (json_is_array(value) && json_array_size(value) == 0) ||
	       (json_is_object(value) && json_object_size(value) == 0);
}

const char *apis_spelling(const json_t *spelled, const char *field)
{
	const char *name = json_string_value(json_object_get(spelled, field));

	return name ? name : field;
}

/* "a,b", or in a form a list of one such text: each of them. */
static json_t *list_of(json_t *value, bool form)
{
	json_t *text = json_array_size(value) == 1 && form ? json_array_get(value, 0) : value;
	struct str rest = str_from(json_string_value(text)), one;
	json_t *list;

	if (!json_is_string(text))
		return json_incref(value);
	list = json_array();
	while (str_split(&rest, ',', &one)) {
		one = str_trim(one);
		json_array_append_new(list, json_stringn(one.ptr, one.len));
	}
	return list;
}

static struct str without_slash(struct str s)
{
	while (s.len > 1 && s.ptr[s.len - 1] == '/')
		s.len--;
	return s;
}

/* The value of an older name in present form: a new reference. */
static json_t *converted(const struct apis_alias *a, json_t *value)
{
	struct str text = {json_string_value(value), json_string_length(value)};

	if (!a->first || json_is_null(value))
		return json_incref(value);
	if (!text.ptr || !a->is_path)
		return json_pack("[O]", value);
	text = without_slash(text);
	return json_pack("[s%]", text.ptr, text.len);
}

/* One name for a thing among those that a body has. */
struct choice {
	json_t *value; /* owned; in present form */
	const char *name;
	bool changed; /* it is not what the client was shown */
};

/* Takes value. */
static void choose(struct choice *c, const char *name, json_t *value, bool changed,
		   struct violations *v)
{
	if (c->name && c->changed && changed && !json_equal(c->value, value))
		violations_add(v, name, "says something else than %s", c->name);
	if (c->name && (c->changed || !changed)) {
		json_decref(value);
		return;
	}
	json_decref(c->value);
	*c = (struct choice){value, name, changed};
}

static bool is_list(const char *name)
{
	return strcmp(name, "hosts") == 0 || strcmp(name, "uris") == 0 ||
	       strcmp(name, "methods") == 0;
}

/* All names of one field of apis_entity. */
static void fold_field(json_t *input, const char *field, bool form, const json_t *old,
		       json_t *spelled, struct violations *v)
{
	json_t *given = json_object_get(input, field);
	struct choice c = {NULL, NULL, false};

	if (given) {
		json_t *value = is_list(field) ? list_of(given, form) : json_incref(given);

		choose(&c, field, value, !old || !json_equal(value, json_object_get(old, field)),
		       v);
	}
	for (size_t i = 0; i < APIS_ALIASES; i++) {
		const char *name = apis_aliases[i].name;

		given = json_object_get(input, name);
		if (strcmp(apis_aliases[i].now, field) != 0 || !given)
			continue;
		choose(&c, name, converted(&apis_aliases[i], given),
		       !old || !json_equal(given, json_object_get(old, name)), v);
		json_object_del(input, name);
	}
	if (!c.name)
		return;
	/* Nothing new: the list of which the client sent the first stays whole. */
	if (!c.changed && old) {
		json_decref(c.value);
		c.value = json_incref(json_object_get(old, field));
	}
	json_object_set_new(input, field, c.value);
	json_object_set_new(spelled, field, json_string(c.name));
}

/* Fields that only came with 0.10. */
bool apis_is_recent(const json_t *spelled)
{
	static const char *const recent[] = {"hosts",	  "uris",	"methods",
					     "strip_uri", "https_only", "http_if_terminated"};

	for (size_t i = 0; i < array_len(recent); i++)
		if (strcmp(apis_spelling(spelled, recent[i]), recent[i]) == 0 &&
		    json_object_get(spelled, recent[i]))
			return true;
	return false;
}

/* What was optional or otherwise then: the name came from the host or the path, and paths were not
 * stripped before 0.10. */
static void fill_in(json_t *input, const json_t *spelled)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_~";
	const char *first = json_string_value(json_array_get(json_object_get(input, "hosts"), 0));
	char name[256];

	if (!json_object_get(input, "strip_uri") && !apis_is_recent(spelled))
		json_object_set_new(input, "strip_uri", json_false());
	if (!apis_is_empty(json_object_get(input, "name")))
		return;
	if (!first)
		first = json_string_value(json_array_get(json_object_get(input, "uris"), 0));
	if (!first)
		return;
	snprintf(name, sizeof(name), "%s", first[0] == '/' && first[1] ? first + 1 : first);
	for (char *c = name; *c; c++)
		if (!strchr(allowed, *c))
			*c = '-';
	json_object_set_new(input, "name", json_string(name));
}

void apis_fold(json_t *input, bool form, bool whole, const json_t *old, json_t **spelled,
	       struct violations *v)
{
	*spelled = json_object();
	if (!*spelled) {
		v->no_memory = true;
		return;
	}
	for (size_t i = 0; i < apis_entity.field_count; i++)
		fold_field(input, apis_entity.fields[i].name, form, old, *spelled, v);
	if (whole)
		fill_in(input, *spelled);
}
