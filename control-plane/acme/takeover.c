/* Taking over what Kong's plugin acme keeps in a storage.
 *
 *    list the keys --> a batch: read its values, one by one --> check them (pool) --> decide by
 *    what is here, write (takeover_save.c) --> the next batch ... --> close the storage --> answer
 *
 * Happy path: accounts, certificates, then hosts, as their keys sort; locks, back-offs and
 * challenges pass by themselves and are left. Failure paths: a key or value that is no good is
 * refused with a reason, and the others go on; a storage or a store that is away ends it with that
 * error: what was written stays, and asked again the rest follows.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/log.h"
#include "control-plane/acme/install_internal.h"
#include "control-plane/acme/takeover_internal.h"

enum { REPORT_MAX = 10000 }; /* rows of the report: more are only counted */

static const char *const result_names[TAKE_RESULTS] = {
	[TAKE_PENDING] = "pending", [TAKE_TAKEN] = "taken",	[TAKE_UNCHANGED] = "unchanged",
	[TAKE_LEFT] = "left",	    [TAKE_REFUSED] = "refused",
};

/* --- the end --- */

static void clear_batch(struct takeover *t)
{
	for (size_t n = 0; n < t->count; n++) {
		struct take_item *i = &t->items[n];

		buf_deinit(&i->value);
		buf_deinit(&i->cert);
		buf_deinit(&i->key_pem);
		buf_deinit(&i->directory);
		buf_deinit(&i->email);
		buf_deinit(&i->der);
	}
	t->count = t->reading = 0;
	json_decref(t->snis);
	json_decref(t->accounts);
	t->snis = t->accounts = NULL;
}

static void takeover_free(struct takeover *t)
{
	clear_batch(t);
	json_decref(t->rows);
	json_decref(t->known);
	json_decref(t->report);
	json_decref(t->answer);
	buf_deinit(&t->keys_text);
	free(t->keys);
	free(t->home);
	free(t);
}

static json_t *whole_report(struct takeover *t)
{
	json_t *report = json_pack("{s:s, s:b, s:I, s:O, s:I}", "storage",
				   t->storage ? storage_text(t->storage) : "kong", "dry_run",
				   t->dry_run, "keys", (json_int_t)t->key_count, "rows", t->report,
				   "rows_left_out", (json_int_t)t->left_out);

	for (size_t r = TAKE_TAKEN; report && r < TAKE_RESULTS; r++)
		if (json_object_set_new(report, result_names[r],
					json_integer((json_int_t)t->results[r])) != 0)
			break;
	if (report)
		(void)json_object_set_new(report, "revision",
					  t->revision ? json_integer((json_int_t)t->revision)
						      : json_null());
	return report;
}

static void tell(struct takeover *t)
{
	struct acme *a = t->acme;
	struct store_result r = {.fault = t->fault, .err = t->failed, .revision = t->revision};

	log_notice("taken over from Kong", log_u64("keys", t->key_count),
		   log_u64("taken", t->results[TAKE_TAKEN]),
		   log_u64("refused", t->results[TAKE_REFUSED]),
		   log_str("dry_run", t->dry_run ? "yes" : "no"), log_err(&t->failed));
	if (t->fault == STORE_OK && t->answer)
		r.rows = json_pack("[O]", t->answer);
	if (t->fault == STORE_OK && !r.rows) {
		r.fault = STORE_FAILED;
		err_memory(&r.err, "a takeover's report");
	}
	a->takeover = NULL;
	t->done(&r, t->arg);
	json_decref(r.rows);
	takeover_free(t);
	(void)acme_awoke(a);
}

static void on_storage_closed(void *arg)
{
	struct takeover *t = arg;

	t->storage = NULL;
	tell(t);
}

static void end(struct takeover *t)
{
	if (t->closing_storage)
		return;
	t->answer = whole_report(t);
	clear_batch(t);
	if (!t->storage) {
		tell(t);
		return;
	}
	t->closing_storage = true;
	storage_close(t->storage, on_storage_closed, t);
}

static void end_err(struct takeover *t, enum store_fault fault, const struct err *e)
{
	t->fault = fault;
	t->failed = *e;
	end(t);
}

/* False: it ended. */
static bool goes_on(struct takeover *t)
{
	struct err e = ERR_INIT;

	if (!t->stopping)
		return true;
	err_set(&e, ERR_UNAVAILABLE, "this control plane is being stopped");
	end_err(t, STORE_UNAVAILABLE, &e);
	return false;
}

/* --- the report --- */

/* A key may be any bytes. */
static json_t *shown_key(struct str key)
{
	struct buf text = BUF_INIT;
	json_t *shown = json_stringn(key.ptr, key.len < 512 ? key.len : 512);

	for (size_t i = 0; !shown && i < key.len && i < 512; i++) {
		unsigned char c = (unsigned char)key.ptr[i];
		bool plain = c >= ' ' && c < 0x7F && c != '\\';

		if (buf_addf(&text, NULL, plain ? "%c" : "\\x%02x", c) != 0)
			break;
	}
	if (!shown)
		shown = json_stringn(buf_str(&text).ptr, text.len);
	buf_deinit(&text);
	return shown;
}

static void report_item(struct takeover *t, struct take_item *i)
{
	bool certificate = i->id[0] && i->kind != KONG_ACCOUNT && i->result != TAKE_REFUSED;
	json_t *row;

	t->results[i->result]++;
	if (json_array_size(t->report) >= REPORT_MAX) {
		t->left_out++;
		return;
	}
	row = json_pack("{s:o, s:s, s:s, s:s?, s:o, s:o}", "key", shown_key(i->key), "kind",
			kong_kind_name(i->kind), "result", result_names[i->result], "reason",
			i->why.message[0] ? i->why.message : NULL, "certificate",
			certificate ? json_pack("{s:s}", "id", i->id) : json_null(), "not_after",
			i->info.not_after ? json_integer(i->info.not_after) : json_null());
	if (row && i->host[0])
		(void)json_object_set_new(row, "host", json_string(i->host));
	if (row && i->email.len > 0)
		(void)json_object_set_new(row, "email", json_string(i->email.data));
	if (!row || json_array_append_new(t->report, row) != 0)
		t->left_out++;
}

/* --- batches --- */

bool takeover_has_key(const struct takeover *t, struct str key)
{
	size_t low = 0, high = t->key_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct str at = t->keys[mid];
		size_t least = at.len < key.len ? at.len : key.len;
		int order = least ? memcmp(at.ptr, key.ptr, least) : 0; /* not secret */

		if (order == 0 && at.len == key.len)
			return true;
		if (order < 0 || (order == 0 && at.len < key.len))
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static void next_batch(struct takeover *t);

void takeover_saved(struct takeover *t, const struct store_result *r)
{
	if (r->revision > t->revision)
		t->revision = r->revision;
	for (size_t n = 0; n < t->count; n++)
		if (t->items[n].result != TAKE_PENDING)
			report_item(t, &t->items[n]);
	clear_batch(t);
	if (!goes_on(t))
		return;
	if (r->fault == STORE_UNAVAILABLE)
		end_err(t, r->fault, &r->err);
	else
		next_batch(t);
}

static void check_batch(struct work *w)
{
	struct takeover *t = container_of(w, struct takeover, work);

	for (size_t n = 0; n < t->count; n++)
		takeover_check(t, &t->items[n]);
}

static void on_checked(struct work *w)
{
	struct takeover *t = container_of(w, struct takeover, work);

	if (goes_on(t))
		takeover_save(t);
}

static void read_next(struct takeover *t);

/* What one value cannot be blamed for ends it all. */
static bool is_of_storage(enum err_kind kind)
{
	return kind != ERR_NONE && kind != ERR_INVALID && kind != ERR_LIMIT;
}

static void on_value(const struct storage_reply *r, void *arg)
{
	struct takeover *t = arg;
	struct take_item *i = &t->items[t->reading];
	struct err e = r->err;

	if (!goes_on(t))
		return;
	if (e.kind == ERR_NONE && !r->found)
		takeover_end_item(i, TAKE_LEFT, "it went away meanwhile");
	else if (e.kind == ERR_NONE && buf_add_str(&i->value, r->value, &e) != 0)
		err_prefix(&e, "a value");
	if (is_of_storage(e.kind)) {
		end_err(t, STORE_FAILED, &e);
		return;
	}
	if (e.kind != ERR_NONE)
		takeover_end_item(i, TAKE_REFUSED, "%s", e.message);
	t->reading++;
	read_next(t);
}

/* Those that pass by themselves are not read. */
static void read_next(struct takeover *t)
{
	struct err e = ERR_INIT;

	while (t->reading < t->count && (t->rows || t->items[t->reading].result != TAKE_PENDING))
		t->reading++;
	if (t->reading < t->count)
		storage_get(t->storage, t->items[t->reading].key, on_value, t);
	else if (work_start(&t->work, t->acme->loop, check_batch, on_checked, &e) != 0)
		end_err(t, STORE_FAILED, &e);
}

static void begin_item(struct takeover *t, struct take_item *i, size_t at)
{
	const json_t *value = json_object_get(json_array_get(t->rows, at), "value");
	struct err e = ERR_INIT;

	*i = (struct take_item){.key = t->keys[at]};
	i->kind = kong_key_read(i->key).kind;
	i->value.secret = i->key_pem.secret = i->der.secret = true;
	if (i->kind == KONG_PASSING)
		takeover_end_item(i, TAKE_LEFT, "it passes by itself");
	else if (i->kind == KONG_OTHER)
		takeover_end_item(i, TAKE_LEFT, "it is none of the plugin's");
	else if (t->rows && !json_is_string(value))
		takeover_end_item(i, TAKE_REFUSED, "the row has no value");
	else if (t->rows && json_string_length(value) > t->acme->conf.storage_value_max)
		takeover_end_item(i, TAKE_REFUSED, "the value is longer than %zu bytes",
				  t->acme->conf.storage_value_max);
	else if (t->rows &&
		 buf_add_str(&i->value,
			     (struct str){json_string_value(value), json_string_length(value)},
			     &e) != 0)
		takeover_end_item(i, TAKE_REFUSED, "%s", e.message);
}

static void next_batch(struct takeover *t)
{
	if (t->at >= t->key_count) {
		end(t);
		return;
	}
	while (t->count < TAKEOVER_BATCH && t->at < t->key_count) {
		begin_item(t, &t->items[t->count], t->at);
		t->count++;
		t->at++;
	}
	read_next(t);
}

/* --- the beginning --- */

static int keep_keys(struct takeover *t, const struct str *keys, size_t n, struct err *e)
{
	size_t at = 0;

	t->keys = calloc(n ? n : 1, sizeof(*t->keys));
	if (!t->keys)
		return err_memory(e, "a takeover");
	for (size_t i = 0; i < n; i++)
		if (buf_add_str(&t->keys_text, keys[i], e) != 0)
			return -1;
	for (size_t i = 0; i < n; i++) {
		t->keys[i] = (struct str){t->keys_text.data + at, keys[i].len};
		at += keys[i].len;
	}
	t->key_count = n;
	return 0;
}

static void on_listed(const struct storage_reply *r, void *arg)
{
	struct takeover *t = arg;
	struct err e = r->err;

	if (!goes_on(t))
		return;
	if (e.kind != ERR_NONE || keep_keys(t, r->keys, r->count, &e) != 0)
		end_err(t, STORE_FAILED, &e);
	else
		next_batch(t);
}

static int by_key(const void *x, const void *y)
{
	const json_t *a = *(json_t *const *)x, *b = *(json_t *const *)y;

	return strcmp(json_string_value(json_object_get(a, "key")),
		      json_string_value(json_object_get(b, "key")));
}

/* Sorted as a storage's; a key that comes twice counts once, the last. */
static int take_rows(struct takeover *t, const json_t *rows, struct err *e)
{
	size_t n = json_array_size(rows), i, count = 0;
	const json_t **list = calloc(n ? n : 1, sizeof(*list));
	struct str *keys = calloc(n ? n : 1, sizeof(*keys));
	json_t *sorted = json_array();
	const json_t *row;
	int rc = list && keys && sorted ? 0 : err_memory(e, "a takeover");

	if (rc == 0 && n > t->acme->conf.storage_keys_max)
		rc = err_set(e, ERR_LIMIT, "more than %zu rows: acme_storage_keys_max",
			     t->acme->conf.storage_keys_max);
	json_array_foreach(rows, i, row)
	{
		if (rc == 0 && !json_is_string(json_object_get(row, "key")))
			rc = err_set(e, ERR_INVALID, "row %zu has no key", i);
		if (rc != 0)
			break;
		list[i] = row;
	}
	if (rc == 0)
		qsort(list, n, sizeof(*list), by_key);
	for (i = 0; rc == 0 && i < n; i++) {
		json_t *key = json_object_get(list[i], "key");

		if (i + 1 < n && by_key(&list[i], &list[i + 1]) == 0)
			continue;
		keys[count++] = (struct str){json_string_value(key), json_string_length(key)};
		if (json_array_append_new(sorted, json_deep_copy(list[i])) != 0)
			rc = err_memory(e, "a takeover");
	}
	if (rc == 0)
		rc = keep_keys(t, keys, count, e);
	t->rows = sorted;
	free(list);
	free(keys);
	return rc;
}

/* Addresses of authorities as keys have them: with and without the directory. */
static void add_known(json_t *known, const char *directory)
{
	struct str text = str_from(directory), tail = STR("/directory");
	struct buf base = BUF_INIT;

	if (!directory || !directory[0] ||
	    json_object_set_new(known, directory, json_string(directory)) != 0)
		return;
	if (str_ends(text, tail) &&
	    buf_add_str(&base, str_sub(text, 0, text.len - tail.len), NULL) == 0)
		(void)json_object_set_new(known, base.data, json_string(directory));
	buf_deinit(&base);
}

static void add_api_uri(json_t *known, const json_t *config)
{
	struct buf directory = BUF_INIT;

	if (policy_text(config, "api_uri") && policy_directory(config, &directory, NULL) == 0) {
		add_known(known, directory.data);
		(void)json_object_set_new(known, policy_text(config, "api_uri"),
					  json_string(directory.data));
	}
	buf_deinit(&directory);
}

static json_t *known_authorities(struct acme *a, const json_t *config)
{
	json_t *known = json_object();

	if (!known)
		return NULL;
	add_api_uri(known, config);
	add_api_uri(known, a->policy);
	/* As they are: these win. */
	list_for_each(it, &a->authorities)
		add_known(known, container_of(it, struct authority, link)->conf.directory);
	add_known(known, "https://acme-v02.api.letsencrypt.org/directory");
	add_known(known, "https://acme-staging-v02.api.letsencrypt.org/directory");
	add_known(known, "https://acme.zerossl.com/v2/DV90/directory");
	return known;
}

static int set_home(struct takeover *t, const json_t *config, struct err *e)
{
	const char *uri = policy_text(config, "api_uri");
	const char *home =
		uri ? json_string_value(json_object_get(t->known, uri)) : acme_home(t->acme);
	struct err why = ERR_INIT;

	if (uri && !home)
		return err_set(e, ERR_INVALID, "api_uri is no address");
	if (uri && url_gate(str_from(home), t->acme->conf.allow_private, &why) != 0)
		return err_set(e, ERR_INVALID, "api_uri: %s", why.message);
	t->home = str_dup(str_from(home));
	return t->home ? 0 : err_memory(e, "a takeover");
}

static int prepare(struct takeover *t, const struct acme_takeover *w, struct err *e)
{
	struct acme *a = t->acme;
	const json_t *config = w->config ? w->config : a->policy;
	const struct storage_limits limits = {
		.value_max = a->conf.storage_value_max,
		.keys_max = a->conf.storage_keys_max,
		.ca_file = a->conf.storage_ca_file,
	};

	if (!config && !w->rows)
		return err_set(e, ERR_INVALID,
			       "there is no plugin acme here that names a storage: say which");
	t->report = json_array();
	t->known = known_authorities(a, config);
	if (!t->report || !t->known)
		return err_memory(e, "a takeover");
	if (set_home(t, config, e) != 0)
		return -1;
	return w->rows ? take_rows(t, w->rows, e)
		       : storage_open(&t->storage, a->loop, config, &limits, e);
}

void acme_take_over(struct acme *a, const struct acme_takeover *w, const struct store_note *note,
		    store_done done, void *arg)
{
	struct store_result r = {.fault = STORE_FAILED};
	struct takeover *t = NULL;

	if (a->takeover || a->closing)
		err_set(&r.err, ERR_CONFLICT, "something is being taken over already");
	else if (!(t = calloc(1, sizeof(*t))))
		err_memory(&r.err, "a takeover");
	if (!t) {
		done(&r, arg);
		return;
	}
	*t = (struct takeover){.acme = a,
			       .dry_run = w->dry_run,
			       .force = w->force,
			       .done = done,
			       .arg = arg,
			       .noted = note != NULL};
	if (note)
		t->note = *note;
	if (prepare(t, w, &r.err) != 0) {
		done(&r, arg);
		takeover_free(t);
		return;
	}
	a->takeover = t;
	acme_sleep(a);
	if (t->storage)
		storage_list(t->storage, STR(KONG_PREFIX), on_listed, t);
	else
		next_batch(t);
}

void takeover_close(struct acme *a)
{
	struct takeover *t = a->takeover;

	if (!t || t->stopping)
		return;
	t->stopping = true;
	/* Waiting for the storage: it will not call back any more. Whatever else calls back ends
	 * it.
	 */
	if (t->storage && !t->closing_storage && (t->key_count == 0 || t->reading < t->count))
		(void)goes_on(t);
}
