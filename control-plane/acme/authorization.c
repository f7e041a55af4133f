#include "control-plane/acme/authorization.h"

#include <stdlib.h>

#include "common/pki/san.h"

struct text_member {
	const char *name;
	size_t offset, size;
};
#define TEXT(member)                                                                               \
	{                                                                                          \
#member, offsetof(struct authorization, member),                                   \
			sizeof(((struct authorization *)NULL)->member)                             \
	}
static const struct text_member text_members[] = {
	TEXT(url),
	TEXT(name),
	TEXT(challenge_url),
	TEXT(challenge_id),
};
#undef TEXT

static int load_one(struct authorization *a, const json_t *row, struct err *e)
{
	const char *type = json_string_value(json_object_get(row, "type"));

	for (size_t i = 0; i < array_len(text_members); i++) {
		const struct text_member *m = &text_members[i];
		const json_t *v = json_object_get(row, m->name);

		if (json_string_length(v) >= m->size)
			return err_set(e, ERR_INTERNAL, "acme_orders.authorizations is broken");
		if (json_is_string(v))
			memcpy((char *)a + m->offset, json_string_value(v),
			       json_string_length(v) + 1);
	}
	if (!a->url[0] || (type && challenge_type_parse(str_from(type), &a->type) != 0))
		return err_set(e, ERR_INTERNAL, "acme_orders.authorizations is broken");
	a->valid = json_is_true(json_object_get(row, "valid"));
	return 0;
}

int authorizations_load(struct authorizations *all, const json_t *list, struct order *o,
			struct err *e)
{
	size_t n = json_array_size(list);
	struct authorization *items = n ? calloc(n, sizeof(*items)) : NULL;

	if (n && !items)
		return err_memory(e, "authorizations");
	for (size_t i = 0; items && i < n; i++) {
		const json_t *one = json_array_get(list, i);

		items[i].order = o;
		if (json_string_length(one) > 0 && json_string_length(one) < ACME_URL_SIZE) {
			memcpy(items[i].url, json_string_value(one), json_string_length(one) + 1);
		} else if (load_one(&items[i], one, e) != 0) {
			free(items);
			return -1;
		}
	}
	authorizations_free(all);
	*all = (struct authorizations){items, n};
	return 0;
}

void authorizations_free(struct authorizations *all)
{
	free(all->items);
	*all = (struct authorizations){NULL, 0};
}

void authorizations_cancel(struct authorizations *all)
{
	for (size_t i = 0; i < all->count; i++) {
		client_cancel(all->items[i].call);
		all->items[i].call = NULL;
	}
}

static json_t *one_json(const struct authorization *a)
{
	json_t *row = json_object();
	int rc = row ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < array_len(text_members); i++) {
		const char *text = (const char *)a + text_members[i].offset;

		if (text[0])
			rc = json_object_set_new(row, text_members[i].name, json_string(text));
	}
	if (rc == 0 && a->challenge_url[0])
		rc = json_object_set_new(row, "type", json_string(challenge_type_name(a->type)));
	if (rc == 0 && a->valid)
		rc = json_object_set_new(row, "valid", json_true());
	if (rc == 0)
		return row;
	json_decref(row);
	return NULL;
}

json_t *authorizations_json(const struct authorizations *all)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < all->count; i++) {
		if (json_array_append_new(list, one_json(&all->items[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

bool authorization_in_fleet(const struct authorization *a)
{
	return a->challenge_id[0] && a->type != CHALLENGE_DNS_01;
}

int authorizations_challenges(const struct authorizations *all, struct buf *out, struct err *e)
{
	const char *separator = "{";

	for (size_t i = 0; i < all->count; i++) {
		if (!authorization_in_fleet(&all->items[i]))
			continue;
		if (buf_addf(out, e, "%s%s", separator, all->items[i].challenge_id) != 0)
			return -1;
		separator = ",";
	}
	return buf_add_str(out, separator[0] == '{' ? STR("{}") : STR("}"), e);
}

size_t authorizations_open(const struct authorizations *all)
{
	size_t n = 0;

	for (size_t i = 0; i < all->count; i++)
		n += !all->items[i].valid && !problem_is_set(&all->items[i].problem);
	return n;
}

size_t authorizations_in_fleet(const struct authorizations *all)
{
	size_t n = 0;

	for (size_t i = 0; i < all->count; i++)
		n += authorization_in_fleet(&all->items[i]);
	return n;
}

size_t authorizations_in_dns(const struct authorizations *all)
{
	size_t n = 0;

	for (size_t i = 0; i < all->count; i++)
		n += all->items[i].challenge_id[0] && !authorization_in_fleet(&all->items[i]);
	return n;
}

static json_t *blame_one(const struct authorization *a)
{
	return json_pack("{s:s, s:s, s:o, s:{s:s, s:s}}", "type", a->problem.type, "detail",
			 a->problem.detail, "status",
			 a->problem.status ? json_integer(a->problem.status) : json_null(),
			 "identifier", "type", san_is_ip(str_from(a->name)) ? "ip" : "dns", "value",
			 a->name);
}

json_t *authorizations_blame(const struct authorizations *all, const struct authorization **first,
			     size_t *n)
{
	json_t *list = json_array();

	*n = 0;
	*first = NULL;
	for (size_t i = 0; list && i < all->count; i++) {
		const struct authorization *a = &all->items[i];

		if (!problem_is_set(&a->problem))
			continue;
		if (!*first)
			*first = a;
		++*n;
		if (json_array_append_new(list, blame_one(a)) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}
