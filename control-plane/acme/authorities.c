/* The list of authorities: the configured one, or without it that of the plugin acme, for the names
 * that it covers; then those of acme_authorities by preference and name. They are read again when
 * they change; one that is unchanged stays as it is, with what it knows. */
#include "common/core/log.h"
#include "control-plane/acme/engine.h"

const char *acme_home(const struct acme *a)
{
	const char *home = "";

	/* The plugin's, which is not for all names, only when there is no other. */
	list_for_each(it, &a->authorities)
	{
		const struct authority *au = container_of(it, struct authority, link);

		if (!au->of_plugin)
			return au->conf.directory;
		home = au->conf.directory;
	}
	return home;
}

int authorities_start(struct acme *a, const struct authority_conf *configured, struct err *e)
{
	if (!configured)
		return 0;
	if (authority_create(&a->configured, a, configured, e) != 0)
		return -1;
	list_push(&a->authorities, &a->configured->link);
	return 0;
}

/* --- the entities --- */

static const char *text(const json_t *row, const char *name)
{
	return json_string_value(json_object_get(row, name));
}

static struct authority_conf conf_of(const json_t *row)
{
	return (struct authority_conf){
		.name = text(row, "name"),
		.directory = text(row, "directory"),
		.email = text(row, "contact"),
		.ca_file = text(row, "ca_file"),
		.ca_pem = text(row, "ca_cert"),
		.limits = text(row, "limits"),
		.eab_kid = text(row, "eab_kid"),
		.eab_hmac = text(row, "eab_hmac_key"),
		.eab_url = text(row, "eab_url"),
		.account_key = text(row, "account_key"),
		.profile = text(row, "profile"),
		.agree = json_is_true(json_object_get(row, "tos_accepted")),
		.requests_max = (unsigned)json_integer_value(json_object_get(row, "requests_max")),
	};
}

/* Out of those that were there; NULL: none is like that. */
static struct authority *reuse(struct link *old, const struct authority_conf *c)
{
	list_for_each(it, old)
	{
		struct authority *au = container_of(it, struct authority, link);

		if (authority_is(au, c)) {
			list_remove(it);
			return au;
		}
	}
	return NULL;
}

static void add(struct acme *a, struct link *old, const struct authority_conf *c, bool of_plugin)
{
	struct authority *au;
	struct err e = ERR_INIT;

	if (!c->name || !c->directory || authority_find(a, c->directory))
		return; /* one CA twice: the first counts */
	au = reuse(old, c);
	if (!au && authority_create(&au, a, c, &e) != 0) {
		log_error("an authority cannot be used", log_str("name", c->name), log_err(&e));
		return;
	}
	au->of_plugin = of_plugin;
	list_push(&a->authorities, &au->link);
}

/* As an entity would say it. What the configuration has goes before what the plugin has. */
static void add_policy(struct acme *a, struct link *old)
{
	struct buf directory = BUF_INIT;
	struct err e = ERR_INIT;
	struct authority_conf c = {
		.name = "plugin acme",
		.email = policy_text(a->policy, "account_email"),
		.ca_file = a->conf.ca_file,
		.eab_kid = policy_text(a->policy, "eab_kid"),
		.eab_hmac = policy_text(a->policy, "eab_hmac_key"),
		.agree = json_is_true(json_object_get(a->policy, "tos_accepted")),
	};

	if (!a->policy || a->configured)
		return;
	if (json_is_object(json_object_get(a->policy, "account_key")))
		log_warn("account_key of the plugin acme is not used: there are no keys to refer "
			 "to; the account gets a new one");
	if (policy_directory(a->policy, &directory, &e) == 0) {
		c.directory = directory.data;
		add(a, old, &c, true);
	} else {
		log_error("the plugin acme names no authority", log_err(&e));
	}
	buf_deinit(&directory);
}

static int by_preference(const void *x, const void *y)
{
	const json_t *a = *(json_t *const *)x, *b = *(json_t *const *)y;
	json_int_t pa = json_integer_value(json_object_get(a, "preference"));
	json_int_t pb = json_integer_value(json_object_get(b, "preference"));

	if (pa != pb)
		return pa < pb ? -1 : 1;
	return strcmp(text(a, "name"), text(b, "name"));
}

static void replace(struct acme *a, const json_t *rows)
{
	size_t n = json_array_size(rows);
	json_t **sorted = calloc(n + 1, sizeof(json_t *));
	struct link old;

	if (!sorted)
		return;
	list_init(&old);
	list_move_all(&old, &a->authorities);
	if (a->configured) {
		list_remove(&a->configured->link);
		list_push(&a->authorities, &a->configured->link);
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(rows, i);
	qsort(sorted, n, sizeof(json_t *), by_preference);
	add_policy(a, &old);
	for (size_t i = 0; i < n; i++) {
		const struct authority_conf c = conf_of(sorted[i]);

		add(a, &old, &c, false);
	}
	free(sorted);
	while (!list_empty(&old)) {
		struct link *it = list_pop(&old);

		list_push(&a->leaving, it);
		authority_leave(container_of(it, struct authority, link));
	}
	schedule_kick(a);
}

static void on_rows(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	a->authorities_reading = false;
	if (!acme_awoke(a))
		return;
	if (r->fault == STORE_OK) {
		log_notice("authorities read", log_u64("entities", json_array_size(r->rows)),
			   log_str("plugin", a->policy ? "yes" : "no"));
		replace(a, r->rows);
	} else {
		log_warn("authorities cannot be read", log_err(&r->err));
		free(a->authorities_seen);
		a->authorities_seen = NULL; /* again */
	}
}

static void read_entities(struct acme *a)
{
	const struct store_page all = {.size = 1000};

	acme_sleep(a);
	store_list(a->store, &entity_acme_authorities, &all, on_rows, a);
}

static void on_plugin(const struct store_result *r, void *arg)
{
	struct acme *a = arg;

	if (!acme_awoke(a))
		return;
	if (r->fault != STORE_OK) {
		log_warn("the plugin acme cannot be read", log_err(&r->err));
		a->authorities_reading = false;
		free(a->authorities_seen);
		a->authorities_seen = NULL; /* again */
		return;
	}
	json_decref(a->policy);
	a->policy = json_incref(json_object_get(json_array_get(r->rows, 0), "config"));
	read_entities(a);
}

static void on_seen(const struct store_result *r, void *arg)
{
	struct acme *a = arg;
	const char *seen = text(json_array_get(r->rows, 0), "seen");
	const char *plugin = text(json_array_get(r->rows, 0), "plugin");

	if (!acme_awoke(a))
		return;
	a->authorities_reading = false;
	if (r->fault != STORE_OK || !seen ||
	    (a->authorities_seen && str_eq(str_from(seen), str_from(a->authorities_seen))))
		return;
	free(a->authorities_seen);
	a->authorities_seen = str_dup(str_from(seen));
	a->authorities_reading = true;
	if (plugin) {
		acme_sleep(a);
		store_get(a->store, &entity_plugins, str_from(plugin), on_plugin, a);
		return;
	}
	json_decref(a->policy);
	a->policy = NULL;
	read_entities(a);
}

void authorities_watch(struct acme *a)
{
	if (a->authorities_reading)
		return;
	a->authorities_reading = true;
	acme_sleep(a);
	store_query(
		a->store,
		"SELECT coalesce(string_agg(id || ':' || version, ',' ORDER BY id), '') || "
		"coalesce((SELECT ',' || id || ':' || version FROM plugins WHERE name = 'acme' "
		"AND enabled ORDER BY created_at LIMIT 1), '') AS seen, (SELECT id FROM plugins "
		"WHERE name = 'acme' AND enabled ORDER BY created_at LIMIT 1) AS plugin FROM "
		"acme_authorities",
		NULL, 0, on_seen, a);
}
