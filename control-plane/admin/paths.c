#include "control-plane/admin/paths.h"

#include <stdio.h>

struct walk {
	int (*on_path)(const struct api_path *p, void *arg);
	void *arg;
};

/* "/a/:b" as "/a/{b}". */
static void set_pattern(struct api_path *p, const char *pattern)
{
	struct str rest = str_from(pattern + 1), part;
	size_t n = 0;

	p->text[0] = '\0';
	while (str_split(&rest, '/', &part) && n < sizeof(p->text)) {
		bool parameter = part.len > 0 && part.ptr[0] == ':';

		part = str_sub(part, parameter, part.len);
		n += (size_t)snprintf(p->text + n, sizeof(p->text) - n, "/%s%.*s%s",
				      parameter ? "{" : "", (int)part.len, part.ptr,
				      parameter ? "}" : "");
	}
}

static int walk_table(const struct walk *w)
{
	for (const struct route *r = admin_routes; r->pattern; r++) {
		struct api_path p = {.route = r};

		set_pattern(&p, r->pattern);
		if (w->on_path(&p, w->arg) < 0)
			return -1;
	}
	return 0;
}

static int walk_own(const struct walk *w, const struct entity *t)
{
	struct api_path p = {.route = &admin_entity_routes[0], .entity = t, .collection = true};

	snprintf(p.text, sizeof(p.text), "/%s", entity_path(t, false));
	if (w->on_path(&p, w->arg) < 0)
		return -1;
	p.route = &admin_entity_routes[1];
	p.collection = false;
	snprintf(p.text, sizeof(p.text), "/%s/{%s}", entity_path(t, false), t->name);
	return w->on_path(&p, w->arg);
}

static int walk_below(const struct walk *w, const struct entity *parent, const struct entity *t)
{
	struct api_path p = {
		.route = &admin_entity_routes[2],
		.entity = t,
		.collection = true,
		.parent = parent,
	};

	snprintf(p.text, sizeof(p.text), "/%s/{%s}/%s", entity_path(parent, false), parent->name,
		 entity_path(t, true));
	if (w->on_path(&p, w->arg) < 0)
		return -1;
	p.route = &admin_entity_routes[3];
	p.collection = false;
	snprintf(p.text, sizeof(p.text), "/%s/{%s}/%s/{%s}", entity_path(parent, false),
		 parent->name, entity_path(t, true), t->name);
	return w->on_path(&p, w->arg);
}

static int walk_references(const struct walk *w, const struct entity *child)
{
	for (size_t i = 0; i < child->field_count; i++) {
		const struct field *f = &child->fields[i];
		struct api_path p = {.route = &admin_entity_routes[ROUTE_REFERENCE],
				     .child = child};

		if (f->type != FIELD_FOREIGN)
			continue;
		p.entity = entity_find(str_from(f->reference));
		snprintf(p.text, sizeof(p.text), "/%s/{%s}/%s", entity_path(child, false),
			 child->name, f->name);
		if (w->on_path(&p, w->arg) < 0)
			return -1;
	}
	return 0;
}

static int walk_entity(const struct walk *w, const struct entity *t)
{
	const struct entity *child;

	if (!t->below_parent && walk_own(w, t) < 0)
		return -1;
	if (!t->below_parent && !t->no_reverse && walk_references(w, t) < 0)
		return -1;
	for (size_t i = 0; (child = entity_at(i)); i++)
		if (!child->internal && entity_reference(child, t) && walk_below(w, t, child) < 0)
			return -1;
	return 0;
}

int paths_each(int (*on_path)(const struct api_path *p, void *arg), void *arg)
{
	const struct walk w = {on_path, arg};
	const struct entity *t;

	if (walk_table(&w) < 0)
		return -1;
	for (size_t i = 0; (t = entity_at(i)); i++)
		if (!t->internal && walk_entity(&w, t) < 0)
			return -1;
	return 0;
}
