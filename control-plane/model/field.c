/* Violations: texts by path, and the body of Kong's code 2 that they become. */
#include "control-plane/model/field.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include "control-plane/model/validate.h"

/* Of lists in paths that are text: what a request body can hold. */
enum { JSON_POSITION_MAX = 1 << 20 };

void violations_init(struct violations *v)
{
	*v = (struct violations){.fields = NULL};
}

void violations_deinit(struct violations *v)
{
	json_decref(v->fields);
	json_decref(v->entity);
	violations_init(v);
}

bool violations_any(const struct violations *v)
{
	return v->fields || v->entity || v->no_memory;
}

/* The child of node at a step. NULL: none yet, or the step does not fit the node. */
static json_t *child_get(const json_t *node, const struct step *s)
{
	if (s->position)
		return json_array_get(node, s->position - 1);
	return json_object_getn(node, s->name.ptr, s->name.len);
}

/* Takes child. */
static int child_set(json_t *node, const struct step *s, json_t *child)
{
	if (!s->position)
		return json_object_setn_new(node, s->name.ptr, s->name.len, child);
	while (json_array_size(node) < s->position) {
		if (json_array_append_new(node, json_null()) < 0) {
			json_decref(child);
			return -1;
		}
	}
	return json_array_set_new(node, s->position - 1, child);
}

/* Makes the object or list that the next step needs. */
static json_t *child_make(json_t *node, const struct step *s, const struct step *next)
{
	json_t *child = next->position ? json_array() : json_object();

	if (!child || child_set(node, s, child) < 0)
		return NULL;
	return child;
}

/* Walks down to the parent of the last step, making objects and lists on the way. Takes text. */
static int tree_set(json_t *tree, const struct path *p, json_t *text)
{
	size_t n = p->count < PATH_STEPS_MAX ? p->count : PATH_STEPS_MAX;
	json_t *node = tree;

	for (size_t i = 0; i < n; i++) {
		const struct step *s = &p->steps[i];
		json_t *child;

		if (json_is_array(node) != (s->position > 0))
			break;
		child = child_get(node, s);
		if (json_is_null(child))
			child = NULL;
		if (i + 1 == n) {
			if (child)
				break;
			return child_set(node, s, text);
		}
		node = child ? child : child_make(node, s, s + 1);
		if (!node || json_is_string(node))
			break;
	}
	json_decref(text);
	return node ? 0 : -1;
}

/* "snis.2" in steps. */
static void path_parse(struct path *p, const char *text)
{
	struct str rest = str_from(text);
	struct str part;
	uint64_t position;

	p->count = 0;
	while (str_split(&rest, '.', &part)) {
		if (str_u64(part, &position) < 0 || position > JSON_POSITION_MAX)
			position = 0;
		path_push(p, (struct step){part, (size_t)position});
	}
}

/* Counts one more. False: the answer is long enough. */
static bool room(struct violations *v)
{
	return v->count++ < VIOLATIONS_MAX;
}

/* Bytes of a body that are no UTF-8 cannot be shown again. */
static json_t *text_of(const char *fmt, va_list args) printf_like(1, 0);
static json_t *text_of(const char *fmt, va_list args)
{
	char *raw = NULL;
	json_t *text;

	if (vasprintf(&raw, fmt, args) < 0)
		return NULL;
	text = json_string(raw);
	free(raw);
	return text ? text : json_string("invalid value");
}

static void add_text(struct violations *v, const struct path *p, json_t *text)
{
	if (!v->fields)
		v->fields = json_object();
	if (!text || !v->fields) {
		json_decref(text);
		v->no_memory = true;
		return;
	}
	if (tree_set(v->fields, p, text) < 0)
		v->no_memory = true;
}

void violations_add(struct violations *v, const char *path, const char *fmt, ...)
{
	struct path p;
	va_list args;
	json_t *text;

	if (!room(v))
		return;
	va_start(args, fmt);
	text = text_of(fmt, args);
	va_end(args);
	path_parse(&p, path);
	add_text(v, &p, text);
}

void violations_add_at(struct violations *v, const struct path *p, const char *fmt, ...)
{
	va_list args;
	json_t *text;

	if (!room(v))
		return;
	va_start(args, fmt);
	text = text_of(fmt, args);
	va_end(args);
	add_text(v, p, text);
}

void violations_add_entity(struct violations *v, const char *fmt, ...)
{
	va_list args;
	json_t *text;

	if (!room(v))
		return;
	va_start(args, fmt);
	text = text_of(fmt, args);
	va_end(args);
	if (!v->entity)
		v->entity = json_array();
	if (!text || !v->entity || json_array_append_new(v->entity, text) < 0)
		v->no_memory = true;
}

/* The message: "a: text; b.2: text" and how many there are. */
struct message {
	struct buf text;
	size_t count;
	bool failed;
};

/* path: NULL for a text of the whole entity. */
static void message_add(struct message *m, const char *path, const char *text)
{
	const char *gap = m->count ? "; " : "";
	int rc;

	if (path)
		rc = buf_addf(&m->text, NULL, "%s%s: %s", gap, path, text);
	else
		rc = buf_addf(&m->text, NULL, "%s%s", gap, text);
	if (rc < 0)
		m->failed = true;
	m->count++;
}

static void message_walk(struct message *m, const char *path, const json_t *node);

static void message_walk_child(struct message *m, const char *path, const char *name,
			       const json_t *child)
{
	char *below = NULL;

	if (asprintf(&below, "%s%s%s", path ? path : "", path ? "." : "", name) < 0) {
		m->failed = true;
		return;
	}
	message_walk(m, below, child);
	free(below);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Fields sorted by name. */
static void message_walk_object(struct message *m, const char *path, const json_t *node)
{
	size_t n = json_object_size(node);
	const char **names = calloc(n + 1, sizeof(*names));
	size_t i = 0;

	if (!names) {
		m->failed = true;
		return;
	}
	for (void *it = json_object_iter((json_t *)(uintptr_t)node); it;
	     it = json_object_iter_next((json_t *)(uintptr_t)node, it))
		names[i++] = json_object_iter_key(it);
	qsort(names, n, sizeof(*names), by_name);
	for (i = 0; i < n; i++)
		message_walk_child(m, path, names[i], json_object_get(node, names[i]));
	free(names);
}

static void message_walk(struct message *m, const char *path, const json_t *node)
{
	char position[24];
	const json_t *child;
	size_t i;

	if (json_is_string(node))
		message_add(m, path, json_string_value(node));
	else if (json_is_object(node))
		message_walk_object(m, path, node);
	else
		json_array_foreach(node, i, child)
		{
			snprintf(position, sizeof(position), "%zu", i + 1);
			message_walk_child(m, path, position, child);
		}
}

json_t *violations_body(const struct violations *v)
{
	struct message m = {.text = BUF_INIT};
	json_t *fields = v->fields ? json_deep_copy(v->fields) : json_object();
	json_t *body = NULL;
	const json_t *text;
	char head[64] = "schema violation";
	size_t i;

	json_array_foreach(v->entity, i, text) message_add(&m, NULL, json_string_value(text));
	if (v->fields)
		message_walk(&m, NULL, v->fields);
	if (m.count > 1)
		snprintf(head, sizeof(head), "%zu schema violations", m.count);
	if (v->entity && fields)
		json_object_set(fields, "@entity", v->entity);
	if (!m.failed && fields)
		body = json_pack("{s:i, s:s, s:o, s:O}", "code", 2, "name", "schema violation",
				 "message",
				 json_sprintf("%s (%s)", head, m.text.data ? m.text.data : ""),
				 "fields", fields);
	json_decref(fields);
	buf_deinit(&m.text);
	return body;
}
