/* YAML into JSON values: libyaml's events, one function per kind of node. */
#include "control-plane/model/yaml_read.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	struct yaml_limits limits;
	json_t *anchors; /* name to value, once the value is complete */
	size_t depth;
	size_t aliased;
	struct err *e;
};

static json_t *refuse(struct reader *r, const yaml_mark_t *at, const char *what)
{
	err_set(r->e, ERR_INVALID, "%zu:%zu: %s", at->line + 1, at->column + 1, what);
	return NULL;
}

static json_t *no_memory(struct reader *r)
{
	err_memory(r->e, "reading YAML");
	return NULL;
}

static int next(struct reader *r, yaml_event_t *event)
{
	const yaml_parser_t *p = &r->parser;

	if (yaml_parser_parse(&r->parser, event))
		return 0;
	if (p->error == YAML_MEMORY_ERROR)
		no_memory(r);
	else if (p->error == YAML_READER_ERROR)
		err_set(r->e, ERR_INVALID, "byte %zu: %s", p->problem_offset, p->problem);
	else
		refuse(r, &p->problem_mark, p->problem);
	return -1;
}

/* --- plain scalars --- */

static const struct {
	const char *text;
	char means; /* n: null, t: true, f: false */
} words[] = {
	{"", 'n'},     {"~", 'n'},    {"null", 'n'},  {"Null", 'n'},  {"NULL", 'n'},  {"true", 't'},
	{"True", 't'}, {"TRUE", 't'}, {"yes", 't'},   {"Yes", 't'},   {"YES", 't'},   {"on", 't'},
	{"On", 't'},   {"ON", 't'},   {"false", 'f'}, {"False", 'f'}, {"FALSE", 'f'}, {"no", 'f'},
	{"No", 'f'},   {"NO", 'f'},   {"off", 'f'},   {"Off", 'f'},   {"OFF", 'f'},
};

/* Digits of one base, with underscores; 0: not such a number. */
static size_t digits(const char *s, const char *of)
{
	size_t n = 0;

	if (!strchr(of, s[0]))
		return 0;
	while (s[n] && (s[n] == '_' || strchr(of, s[n])))
		n++;
	return n;
}

struct shape {
	const char *prefix;
	const char *digits;
	int base;
};

/* The base of an integer in s (without sign); 0: it is none. */
static int integer_base(const char *s, const char **from)
{
	static const struct shape shapes[] = {
		{"0x", "0123456789abcdefABCDEF", 16},
		{"0b", "01", 2},
		{"0", "01234567", 8},
	};

	*from = s;
	if (strcmp(s, "0") == 0 || (s[0] != '0' && s[0] && digits(s, "0123456789") == strlen(s)))
		return 10;
	for (size_t i = 0; i < array_len(shapes); i++) {
		size_t n = strlen(shapes[i].prefix);

		if (strncmp(s, shapes[i].prefix, n) != 0 || !s[n])
			continue;
		*from = s + n;
		return digits(*from, shapes[i].digits) == strlen(*from) ? shapes[i].base : 0;
	}
	return 0;
}

static bool is_real(const char *s)
{
	static const char decimal[] = "0123456789";
	size_t whole = digits(s, decimal);
	bool dotted = s[whole] == '.';
	size_t n = whole + dotted;

	if (dotted)
		n += digits(s + n, decimal);
	if (whole == 0 && n < 2)
		return false;
	if (s[n] == 'e' || s[n] == 'E') {
		n++;
		n += s[n] == '+' || s[n] == '-';
		dotted = digits(s + n, decimal) > 0;
		n += digits(s + n, decimal);
	}
	return dotted && s[n] == '\0';
}

/* s without underscores, with its sign; NULL: too long for a number. */
static const char *number_text(char out[64], bool negative, const char *s)
{
	size_t n = 0;

	if (negative)
		out[n++] = '-';
	for (; *s && n < 63; s++)
		if (*s != '_')
			out[n++] = *s;
	out[n] = '\0';
	return *s ? NULL : out;
}

static json_t *number_of(const char *s)
{
	bool negative = s[0] == '-';
	const char *from = s, *text;
	char clean[64];
	long long n;
	int base;

	if (s[0] == '-' || s[0] == '+')
		s++;
	base = integer_base(s, &from);
	text = number_text(clean, negative, base ? from : s);
	if (!text || (!base && !is_real(s)))
		return NULL;
	errno = 0;
	n = base ? strtoll(text, NULL, base) : 0;
	if (base && errno == 0)
		return json_integer(n);
	/* What is too large for an integer is still a number; infinity is none (json_real). */
	return json_real(strtod(text, NULL));
}

json_t *yaml_plain(struct str text)
{
	json_t *number;

	for (size_t i = 0; i < array_len(words); i++) {
		if (!str_eq(text, str_from(words[i].text)))
			continue;
		return words[i].means == 'n' ? json_null() : json_boolean(words[i].means == 't');
	}
	number = text.len == strlen(text.ptr) ? number_of(text.ptr) : NULL;
	return number ? number : json_stringn(text.ptr, text.len);
}

/* What an explicit tag makes of a scalar. */
enum tagged { TAGGED_TEXT, TAGGED_PLAIN, TAGGED_OTHER };

static enum tagged tagged(const char *tag)
{
	static const struct {
		const char *tag;
		enum tagged means;
	} tags[] = {
		{YAML_STR_TAG, TAGGED_TEXT},   {"!", TAGGED_TEXT},
		{YAML_NULL_TAG, TAGGED_PLAIN}, {YAML_BOOL_TAG, TAGGED_PLAIN},
		{YAML_INT_TAG, TAGGED_PLAIN},  {YAML_FLOAT_TAG, TAGGED_PLAIN},
	};

	for (size_t i = 0; i < array_len(tags); i++)
		if (strcmp(tag, tags[i].tag) == 0) /* not secret */
			return tags[i].means;
	return TAGGED_OTHER;
}

static json_t *read_scalar(struct reader *r, const yaml_event_t *event)
{
	struct str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
	const char *tag = (const char *)event->data.scalar.tag;
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	enum tagged means = plain ? TAGGED_PLAIN : TAGGED_TEXT;
	json_t *value;

	if (tag)
		means = tagged(tag);
	if (memchr(text.ptr, '\0', text.len))
		return refuse(r, &event->start_mark, "NUL in a text");
	if (means == TAGGED_OTHER)
		return refuse(r, &event->start_mark, "a tag of another type");
	value = means == TAGGED_TEXT ? json_stringn(text.ptr, text.len) : yaml_plain(text);
	return value ? value : no_memory(r);
}

/* --- aliases --- */

/* Values in node, counted up to a bit more than max. */
static size_t count_values(const json_t *node, size_t max)
{
	size_t n = 1;
	json_t *object = (json_t *)(uintptr_t)node;

	for (size_t i = 0; json_is_array(node) && i < json_array_size(node) && n <= max; i++)
		n += count_values(json_array_get(node, i), max - n);
	if (!json_is_object(node))
		return n;
	for (void *it = json_object_iter(object); it && n <= max;
	     it = json_object_iter_next(object, it))
		n += count_values(json_object_iter_value(it), max - n);
	return n;
}

static json_t *read_alias(struct reader *r, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	const json_t *value = json_object_get(r->anchors, name);
	json_t *copy;

	/* Also an alias inside of what it stands for. */
	if (!value)
		return refuse(r, &event->start_mark, "unknown anchor");
	r->aliased += count_values(value, r->limits.aliased - r->aliased);
	if (r->aliased > r->limits.aliased)
		return refuse(r, &event->start_mark, "aliases stand for too many values");
	copy = json_deep_copy(value);
	return copy ? copy : no_memory(r);
}

/* value is what the anchor (NULL: none) stands for from now on. Takes value, and gives it back. */
static json_t *anchored(struct reader *r, const yaml_char_t *anchor, json_t *value)
{
	if (!value || !anchor || json_object_set(r->anchors, (const char *)anchor, value) == 0)
		return value;
	json_decref(value);
	return no_memory(r);
}

/* --- lists and mappings --- */

static json_t *read_node(struct reader *r, const yaml_event_t *event);

static int read_items(struct reader *r, json_t *list)
{
	for (;;) {
		yaml_event_t event;
		json_t *value = NULL;
		bool end;

		if (next(r, &event) < 0)
			return -1;
		end = event.type == YAML_SEQUENCE_END_EVENT;
		if (!end)
			value = read_node(r, &event);
		yaml_event_delete(&event);
		if (end)
			return 0;
		if (!value)
			return -1;
		if (json_array_append_new(list, value) < 0) {
			no_memory(r);
			return -1;
		}
	}
}

/* Puts the entries of a mapping, or of a list of them, where there are none of that name. */
static int merge(struct reader *r, const yaml_mark_t *at, json_t *merged, json_t *from)
{
	size_t i;
	json_t *one;

	if (json_is_object(from))
		return json_object_update_missing(merged, from);
	if (!json_is_array(from)) {
		refuse(r, at, "only mappings can be merged");
		return -1;
	}
	json_array_foreach(from, i, one)
	{
		if (!json_is_object(one)) {
			refuse(r, at, "only mappings can be merged");
			return -1;
		}
		if (json_object_update_missing(merged, one) < 0)
			return -1;
	}
	return 0;
}

struct entry {
	char *key;
	yaml_mark_t at;
	bool merges;
};

/* 1: an entry; 0: the mapping ends. */
static int read_key(struct reader *r, struct entry *entry)
{
	yaml_event_t event;
	int rc = 1;

	if (next(r, &event) < 0)
		return -1;
	entry->at = event.start_mark;
	if (event.type == YAML_MAPPING_END_EVENT) {
		rc = 0;
	} else if (event.type != YAML_SCALAR_EVENT) {
		refuse(r, &event.start_mark, "a key that is no text");
		rc = -1;
	} else if (memchr(event.data.scalar.value, '\0', event.data.scalar.length)) {
		refuse(r, &event.start_mark, "NUL in a key");
		rc = -1;
	} else {
		entry->key = strdup((const char *)event.data.scalar.value);
		entry->merges = event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && entry->key &&
				strcmp(entry->key, "<<") == 0; /* not secret */
		if (!entry->key) {
			no_memory(r);
			rc = -1;
		}
	}
	yaml_event_delete(&event);
	return rc;
}

static int add_entry(struct reader *r, const struct entry *entry, json_t *map, json_t *merged)
{
	yaml_event_t event;
	json_t *value;
	int rc;

	if (json_object_get(map, entry->key)) {
		refuse(r, &entry->at, "duplicate key");
		return -1;
	}
	if (next(r, &event) < 0)
		return -1;
	value = read_node(r, &event);
	yaml_event_delete(&event);
	if (!value)
		return -1;
	if (entry->merges) {
		rc = merge(r, &entry->at, merged, value);
		json_decref(value);
	} else {
		rc = json_object_set_new(map, entry->key, value);
	}
	if (rc < 0 && r->e->kind == ERR_NONE)
		no_memory(r);
	return rc;
}

static int read_entries(struct reader *r, json_t *map)
{
	json_t *merged = json_object();
	int rc = merged ? 1 : -1;

	if (!merged)
		no_memory(r);
	while (rc > 0) {
		struct entry entry = {.key = NULL};

		rc = read_key(r, &entry);
		if (rc > 0 && add_entry(r, &entry, map, merged) < 0)
			rc = -1;
		free(entry.key);
	}
	if (rc == 0 && json_object_update_missing(map, merged) < 0) {
		no_memory(r);
		rc = -1;
	}
	json_decref(merged);
	return rc;
}

/* Takes the empty container. */
static json_t *read_container(struct reader *r, const yaml_event_t *event, json_t *out,
			      int (*fill)(struct reader *r, json_t *out))
{
	int rc = -1;

	if (!out)
		return no_memory(r);
	if (r->depth == r->limits.depth)
		refuse(r, &event->start_mark, "nested too deeply");
	else {
		r->depth++;
		rc = fill(r, out);
		r->depth--;
	}
	if (rc == 0)
		return out;
	json_decref(out);
	return NULL;
}

static json_t *read_node(struct reader *r, const yaml_event_t *event)
{
	if (event->type == YAML_ALIAS_EVENT)
		return read_alias(r, event);
	if (event->type == YAML_SCALAR_EVENT)
		return anchored(r, event->data.scalar.anchor, read_scalar(r, event));
	if (event->type == YAML_SEQUENCE_START_EVENT)
		return anchored(r, event->data.sequence_start.anchor,
				read_container(r, event, json_array(), read_items));
	if (event->type == YAML_MAPPING_START_EVENT)
		return anchored(r, event->data.mapping_start.anchor,
				read_container(r, event, json_object(), read_entries));
	return refuse(r, &event->start_mark, "unexpected");
}

/* The one document of the stream. */
static json_t *read_stream(struct reader *r)
{
	json_t *value = NULL;
	bool end = false;

	while (!end) {
		yaml_event_t event;
		bool ok = true;

		if (next(r, &event) < 0)
			break;
		end = event.type == YAML_STREAM_END_EVENT;
		if (event.type == YAML_DOCUMENT_START_EVENT && value) {
			refuse(r, &event.start_mark, "a second document");
			ok = false;
		} else if (!end && event.type != YAML_STREAM_START_EVENT &&
			   event.type != YAML_DOCUMENT_START_EVENT &&
			   event.type != YAML_DOCUMENT_END_EVENT) {
			value = read_node(r, &event);
			ok = value != NULL;
		}
		yaml_event_delete(&event);
		if (!ok)
			break;
	}
	if (end)
		return value ? value : json_null();
	json_decref(value);
	return NULL;
}

int yaml_read(json_t **out, struct str text, const struct yaml_limits *limits, struct err *e)
{
	struct err why = ERR_INIT;
	struct reader r = {.limits = *limits, .anchors = json_object(), .e = &why};

	*out = NULL;
	if (!r.anchors || !yaml_parser_initialize(&r.parser)) {
		json_decref(r.anchors);
		return err_memory(e, "reading YAML");
	}
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.ptr, text.len);
	*out = read_stream(&r);
	yaml_parser_delete(&r.parser);
	json_decref(r.anchors);
	if (*out)
		return 0;
	if (e)
		*e = why;
	return -1;
}
