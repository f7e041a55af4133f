/* A store in memory through store.h: answers, documents, the feed, data planes' rows. */
#include <stdlib.h>

#include "control-plane/store/load.h"
#include "control-plane/store/memory.h"
#include "tests/unit/control-plane/feed_log.h"

#define HEAD "_format_version: '3.0'\n"
#define ZEROS "00000000000000000000000000000000"
#define NODE "00000000-0000-4000-8000-000000000001"
#define SELF "00000000-0000-4000-8000-0000000000ff"

struct loaded {
	unsigned answers;
	enum load_outcome outcome;
	uint64_t revision;
	char lines[ERR_MESSAGE_SIZE];
};

static void on_loaded(const struct load_result *r, void *arg)
{
	struct loaded *l = arg;

	l->answers++;
	l->outcome = r->outcome;
	l->revision = r->revision;
	snprintf(l->lines, sizeof(l->lines), "%s",
		 r->outcome == LOAD_FAILED ? r->err.message : (r->lines ? r->lines : ""));
}

static struct loaded load(struct store_fixture *f, const char *text)
{
	struct loaded l = {0};
	struct buf body = BUF_INIT;
	struct err e = ERR_INIT;

	assert_int_equal(buf_add_str(&body, str_from(text), NULL), 0);
	assert_int_equal(
		store_load(f->store, &(struct load_request){.text = &body}, on_loaded, &l, &e), 0);
	assert_int_equal(body.len, 0);
	assert_int_equal(l.answers, 0);
	run_until(f->on, l.answers > 0);
	return l;
}

/* SNIs need certificates, whose rows need keys: services and consumers do for all but the feed. */
static const char services[] = HEAD "services:\n- {name: a, host: h, tags: [x, y]}\n"
				    "- {name: b, host: h, tags: [y]}\n"
				    "- {name: c, host: h, routes: [{name: r, paths: [/]}]}\n";

static void ask_list(struct store_fixture *f, const struct entity *t, struct store_page p)
{
	store_list(f->store, t, &p, store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_OK);
}

static const char *text_of(const struct store_fixture *f, size_t i, const char *name)
{
	const char *s = json_string_value(json_object_get(json_array_get(f->rows, i), name));

	return s ? s : "";
}

static void test_reading(void **state)
{
	struct store_fixture *f = store_fixture_open(NULL);
	const struct str both[] = {STR("x"), STR("y")};
	char last[40];

	(void)state;
	assert_true(store_read_only(f->store));
	assert_true(store_reachable(f->store));
	assert_int_equal(load(f, services).outcome, LOAD_DONE);
	store_get(f->store, &entity_services, STR("b"), store_fixture_done, f);
	store_fixture_wait(f);
	assert_string_equal(text_of(f, 0, "name"), "b");
	store_get(f->store, &entity_services, STR("none"), store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(json_array_size(f->rows), 0);
	assert_int_equal(f->fault, STORE_OK);
	ask_list(f, &entity_services, (struct store_page){.size = 2});
	assert_int_equal(json_array_size(f->rows), 3);
	snprintf(last, sizeof(last), "%s", text_of(f, 1, "id"));
	ask_list(f, &entity_services, (struct store_page){.size = 2, .after = str_from(last)});
	assert_int_equal(json_array_size(f->rows), 1);
	ask_list(f, &entity_services, (struct store_page){.size = 9, .tags = both, .tag_count = 2});
	assert_int_equal(json_array_size(f->rows), 1);
	ask_list(f, &entity_services,
		 (struct store_page){.size = 9, .tags = both, .tag_count = 2, .tags_any = true});
	assert_int_equal(json_array_size(f->rows), 2);
	ask_list(
		f, &entity_routes,
		(struct store_page){.size = 9, .foreign = "service", .foreign_id = str_from(last)});
	store_list(f->store, &entity_services, &(struct store_page){.size = 9, .after = STR("x")},
		   store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_FAILED);
	store_tags(f->store, &(struct store_tag_page){.size = 9, .tag = "y"}, store_fixture_done,
		   f);
	store_fixture_wait(f);
	assert_int_equal(json_array_size(f->rows), 2);
	store_fixture_close(f);
}

/* Nothing but documents writes. */
static void test_read_only(void **state)
{
	struct store_fixture *f = store_fixture_open(NULL);
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_null(txn_create(f->store, NULL));
	store_query(f->store, "SELECT 1", NULL, 0, store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_READ_ONLY);
	assert_int_equal(store_seal(f->store, STR("c"), STR("p"), &out, &e), -1);
	assert_int_equal(store_unseal(f->store, STR("c"), STR("p"), &out, &e), -1);
	store_fixture_close(f);
}

static void test_documents(void **state)
{
	struct store_fixture *f = store_fixture_open(NULL);
	struct buf before = BUF_INIT, after = BUF_INIT, body = BUF_INIT;
	char hash[LOAD_HASH_SIZE];
	struct loaded l = {0}, second;
	struct err e = ERR_INIT;

	(void)state;
	assert_string_equal(store_configuration_hash(f->store), ZEROS);
	assert_int_equal(load(f, services).revision, 1);
	assert_int_equal(load_hash(hash, str_from(services), NULL), 0);
	assert_string_equal(store_configuration_hash(f->store), hash);
	assert_int_equal(load(f, services).revision, 1);
	assert_int_equal(store_export(f->store, &before, NULL), 0);
	second = load(f, HEAD "services: [{port: -1}]");
	assert_int_equal(second.outcome, LOAD_REFUSED);
	assert_non_null(strstr(second.lines, "in 'host': required field missing"));
	second = load(f, "a: [");
	assert_int_equal(second.outcome, LOAD_REFUSED);
	assert_int_equal(store_export(f->store, &after, NULL), 0);
	assert_string_equal(before.data, after.data);
	assert_string_equal(store_configuration_hash(f->store), hash);
	/* One at a time. */
	assert_int_equal(buf_add_str(&body, str_from(services), NULL), 0);
	assert_int_equal(
		store_load(f->store, &(struct load_request){.text = &body}, on_loaded, &l, &e), 0);
	assert_int_equal(
		store_load(f->store, &(struct load_request){.file = "none.yml"}, on_loaded, &l, &e),
		-1);
	assert_int_equal(e.kind, ERR_UNAVAILABLE);
	run_until(f->on, l.answers == 1);
	assert_int_equal(
		store_load(f->store, &(struct load_request){.file = "none.yml"}, on_loaded, &l, &e),
		0);
	run_until(f->on, l.answers == 2);
	assert_int_equal(l.outcome, LOAD_FAILED);
	assert_non_null(strstr(l.lines, "No such file"));
	buf_deinit(&before);
	buf_deinit(&after);
	store_fixture_close(f);
}

/* --- the feed --- */

static json_t *secret(const char *id, int not_before)
{
	return json_pack("{s:s, s:i, s:i, s:s, s:i}", "id", id, "created_at", 1, "updated_at", 1,
			 "secret", "00", "not_before", not_before);
}

/* Keeps n secrets with ids that end in a number from `from`. */
static void keep(struct store_fixture *f, int from, int n)
{
	json_t *rows = json_array();

	for (int i = from; i < from + n; i++) {
		char id[UUID_TEXT_SIZE];

		snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", i);
		json_array_append_new(rows, secret(id, i));
	}
	store_keep(f->store, &entity_ticket_secrets, rows, store_fixture_done, f);
	json_decref(rows);
	store_fixture_wait(f);
	assert_int_equal(f->fault, STORE_OK);
}

static void test_feed(void **state)
{
	struct store_fixture *f = store_fixture_open(NULL);
	struct feed_log *log = feed_log_start(f->store);
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(log->resets, 0);
	run_until(f->on, log->commits == 1);
	assert_int_equal(log->resets, 1);
	assert_int_equal(log->count, 0);
	assert_int_equal(store_follow(f->store, &(struct feed_events){0}, &e), -1);
	keep(f, 0, 3);
	run_until(f->on, log->committed == 1);
	assert_int_equal(log->count, 3);
	/* One goes, one comes, two stay. */
	keep(f, 1, 3);
	run_until(f->on, log->committed == 2);
	assert_int_equal(log->count, 5);
	assert_true(log->changes[3].removed);
	assert_string_equal(log->changes[3].id, "00000000-0000-4000-8000-000000000000");
	assert_string_equal(log->changes[4].id, "00000000-0000-4000-8000-000000000003");
	assert_false(log->changes[4].removed);
	/* A document, of three services and a route. */
	assert_int_equal(load(f, services).revision, 3);
	run_until(f->on, log->committed == 3);
	assert_int_equal(log->count, 9);
	assert_int_equal(log->resets, 1);
	assert_int_equal(log->rows_wrong, 0);
	store_unfollow(f->store);
	keep(f, 0, 1);
	fixture_spin(f->on, 10);
	assert_int_equal(log->commits, 4);
	/* Again from the start, with what was removed. */
	free(log);
	log = feed_log_start(f->store);
	run_until(f->on, log->commits == 1);
	assert_int_equal(log->committed, 4);
	assert_int_equal(log->count, 8);
	free(log);
	store_fixture_close(f);
}

/* A state that is given in many turns is one, also when the next one comes meanwhile. */
static void test_feed_in_steps(void **state)
{
	struct store_fixture *f = store_fixture_open(NULL);
	struct feed_log *log;

	(void)state;
	keep(f, 0, 1000);
	log = feed_log_start(f->store);
	run_until(f->on, log->count > 0);
	assert_true(log->count < 1000);
	assert_int_equal(log->commits, 0);
	keep(f, 1000, 1000);
	run_until(f->on, log->commits == 2);
	assert_int_equal(log->committed, 2);
	assert_int_equal(log->count, 3000);
	for (size_t i = 0; i < log->count; i++)
		assert_int_equal(log->changes[i].revision, i < 1000 ? 1 : 2);
	free(log);
	store_fixture_close(f);
}

/* What a data plane refused is given as such, until it changes. */
static void test_refused(void **state)
{
	struct store_fixture *f = store_fixture_open(NULL);
	struct feed_log *log;
	json_t *refusals = json_pack(
		"[{s:s, s:s, s:i, s:{s:s, s:s}}, {s:s, s:s, s:i, s:{}}, {s:s, s:s, s:i, s:{}}]",
		"kind", "ticket_secrets", "id", NODE, "revision", 1, "refusal", "node", SELF,
		"reason", "bad", "kind", "ticket_secrets", "id", SELF, "revision", 1, "refusal",
		"kind", "nothing", "id", NODE, "revision", 1, "refusal");

	(void)state;
	keep(f, 0, 3);
	log = feed_log_start(f->store);
	run_until(f->on, log->commits == 1);
	for (int i = 0; i < 2; i++) {
		store_refuse(f->store, refusals, store_fixture_done, f);
		store_fixture_wait(f);
		assert_int_equal(f->fault, STORE_OK);
	}
	run_until(f->on, log->committed == 2);
	assert_int_equal(log->count, 4);
	assert_true(log->changes[3].removed); /* without a row */
	assert_string_equal(log->changes[3].id, NODE);
	/* Kept as it is: still refused. Another: not any more. */
	keep(f, 0, 3);
	fixture_spin(f->on, 10);
	assert_int_equal(log->committed, 2);
	keep(f, 2, 1);
	keep(f, 1, 1);
	run_until(f->on, log->committed == 4);
	assert_string_equal(log->changes[log->count - 1].id, NODE);
	assert_false(log->changes[log->count - 1].removed);
	json_decref(refusals);
	free(log);
	store_fixture_close(f);
}

/* --- data planes --- */

static void test_nodes(void **state)
{
	struct store_fixture *f = store_fixture_open(NULL);
	json_t *rows =
		json_pack("[{s:s, s:s, s:s, s:i, s:b, s:{s:s}}]", "id", NODE, "hostname", "h",
			  "epoch", "e", "revision", 7, "connected", 1, "labels", "a", "b");
	const json_t *row;

	(void)state;
	store_nodes_write(f->store, SELF, rows, NULL, store_fixture_done, f);
	store_fixture_wait(f);
	store_nodes_beat(f->store, SELF, store_fixture_done, f);
	store_fixture_wait(f);
	store_nodes_purge(f->store, store_fixture_done, f);
	store_fixture_wait(f);
	store_nodes_read(f->store, SELF, 60, store_fixture_done, f);
	store_fixture_wait(f);
	assert_int_equal(json_array_size(f->rows), 0);
	store_nodes_list(f->store, store_fixture_done, f);
	store_fixture_wait(f);
	row = json_array_get(f->rows, 0);
	assert_string_equal(text_of(f, 0, "sync_status"), "normal");
	assert_string_equal(text_of(f, 0, "control_plane"), SELF);
	/* md5("e:7") */
	assert_string_equal(text_of(f, 0, "config_hash"), "f16d9b38606d4e0c874efbdcbb34e397");
	assert_true(json_is_true(json_object_get(row, "connected")));
	assert_true(json_is_null(json_object_get(row, "cert_details")));
	json_decref(rows);
	store_fixture_close(f);
}

/* Asked before the end, answered before the end. */
static void test_close(void **state)
{
	struct store_fixture *f = store_fixture_open(NULL);
	struct buf body = BUF_INIT;
	struct loaded l = {0};
	struct err e = ERR_INIT;

	(void)state;
	store_get(f->store, &entity_services, STR("a"), store_fixture_done, f);
	assert_int_equal(buf_add_str(&body, str_from(services), NULL), 0);
	assert_int_equal(
		store_load(f->store, &(struct load_request){.text = &body}, on_loaded, &l, &e), 0);
	store_close(f->store, store_fixture_closed, f);
	assert_int_equal(f->answers, 0);
	run_until(f->on, f->closed);
	assert_int_equal(f->answers, 1);
	assert_int_equal(l.answers, 1);
	json_decref(f->rows);
	keyring_free(f->keyring);
	fixture_deinit(&f->own);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),	      cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_documents),     cmocka_unit_test(test_feed),
		cmocka_unit_test(test_feed_in_steps), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nodes),	      cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
