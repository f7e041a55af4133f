/* Calls of a storage against a real Redis: what is set is there, lists, ends by itself, and what is
 * over a limit or a time. */
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control-plane/acme/storage.h"
#include "tests/unit/lib/loop_fixture.h"

enum { VALUE_MAX = 8192, KEYS_MAX = 50 };

struct world {
	struct loop_fixture f;
	struct storage *storage;
	pid_t server;
	unsigned port;
	bool closed;
	/* The last reply. */
	unsigned replies;
	struct err err;
	bool found;
	size_t count;
	struct buf value, keys;
};

static unsigned free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char port[16];

	assert_non_null(w);
	w->port = free_port();
	snprintf(port, sizeof(port), "%u", w->port);
	w->server = fork();
	assert_true(w->server >= 0);
	if (w->server == 0) {
		execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1",
		       "--save", "", "--dir", "/tmp", "--logfile", "/dev/null", (char *)NULL);
		_exit(127);
	}
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kill(w->server, SIGKILL);
	waitpid(w->server, NULL, 0);
	free(w);
	return 0;
}

static void on_closed(void *arg)
{
	((struct world *)arg)->closed = true;
}

static void close_storage(struct world *w)
{
	w->closed = false;
	storage_close(w->storage, on_closed, w);
	run_until(&w->f, w->closed);
	fixture_deinit(&w->f);
	buf_deinit(&w->value);
	buf_deinit(&w->keys);
}

static void on_reply(const struct storage_reply *r, void *arg)
{
	struct world *w = arg;

	w->replies++;
	w->err = r->err;
	w->found = r->found;
	w->count = r->count;
	buf_clear(&w->value);
	buf_clear(&w->keys);
	assert_int_equal(buf_add_str(&w->value, r->value, NULL), 0);
	for (size_t i = 0; i < r->count; i++)
		assert_int_equal(
			buf_addf(&w->keys, NULL, "%.*s ", (int)r->keys[i].len, r->keys[i].ptr), 0);
}

static void open_storage(struct world *w, const char *more)
{
	const struct storage_limits limits = {.value_max = VALUE_MAX, .keys_max = KEYS_MAX};
	char text[256];
	json_t *config;
	struct err e = ERR_INIT;

	snprintf(text, sizeof(text),
		 "{\"storage\":\"redis\",\"storage_config\":{\"redis\":{\"host\":\"127.0.0.1\","
		 "\"port\":%u%s}}}",
		 w->port, more);
	config = json_loads(text, 0, NULL);
	assert_non_null(config);
	fixture_init(&w->f);
	if (storage_open(&w->storage, &w->f.loop, config, &limits, &e) != 0)
		fail_msg("%s", e.message);
	json_decref(config);
	w->replies = 0;
}

static void get(struct world *w, const char *key)
{
	unsigned before = w->replies;

	storage_get(w->storage, str_from(key), on_reply, w);
	assert_int_equal(w->replies, before);
	run_until(&w->f, w->replies > before);
}

static void set(struct world *w, const char *key, struct str value, uint64_t ttl_ms)
{
	unsigned before = w->replies;

	storage_set(w->storage, str_from(key), value, ttl_ms, on_reply, w);
	run_until(&w->f, w->replies > before);
}

static void list(struct world *w, const char *prefix)
{
	unsigned before = w->replies;

	storage_list(w->storage, str_from(prefix), on_reply, w);
	run_until(&w->f, w->replies > before);
}

/* The server has just been started. */
static void wait_for_server(struct world *w)
{
	do
		get(w, "nothing");
	while (w->err.kind == ERR_UNAVAILABLE);
	assert_int_equal(w->err.kind, ERR_NONE);
	assert_false(w->found);
}

static void test_set_get_delete(void **state)
{
	struct world *w = *state;

	open_storage(w, ",\"extra_options\":{\"namespace\":\"ns*\"}");
	wait_for_server(w);
	set(w, "a", STR("one\r\n\0two"), 0);
	assert_int_equal(w->err.kind, ERR_NONE);
	get(w, "a");
	assert_true(w->found && str_eq(buf_str(&w->value), STR("one\r\n\0two")));
	set(w, "a", STR(""), 0);
	get(w, "a");
	assert_true(w->found && w->value.len == 0);
	storage_delete(w->storage, STR("a"), on_reply, w);
	get(w, "a");
	assert_false(w->found);
	assert_int_equal(w->err.kind, ERR_NONE);
	close_storage(w);
}

static void test_time_to_live(void **state)
{
	struct world *w = *state;

	open_storage(w, "");
	wait_for_server(w);
	set(w, "t", STR("x"), 60000);
	get(w, "t");
	assert_true(w->found);
	set(w, "t", STR("x"), 1);
	for (unsigned i = 0; i < 1000 && w->found; i++)
		get(w, "t");
	assert_false(w->found);
	close_storage(w);
}

static void test_lists(void **state)
{
	struct world *w = *state;
	char key[32];

	open_storage(w, ",\"namespace\":\"n[\",\"scan_count\":1");
	wait_for_server(w);
	list(w, "k:");
	assert_int_equal(w->err.kind, ERR_NONE);
	assert_int_equal(w->count, 0);
	set(w, "k:b", STR("1"), 0);
	set(w, "k:a", STR("1"), 0);
	set(w, "kk:c", STR("1"), 0);
	list(w, "k:");
	assert_string_equal(w->keys.data, "k:a k:b ");
	for (unsigned i = 0; i < KEYS_MAX + 1; i++) {
		snprintf(key, sizeof(key), "m:%u", i);
		set(w, key, STR("1"), 0);
	}
	list(w, "m:");
	assert_int_equal(w->err.kind, ERR_LIMIT);
	/* The next call has a connection again. */
	list(w, "k:");
	assert_int_equal(w->count, 2);
	close_storage(w);
}

static void test_limits(void **state)
{
	struct world *w = *state;
	char *big = malloc(VALUE_MAX + 1);

	assert_non_null(big);
	memset(big, 'x', VALUE_MAX + 1);
	open_storage(w, "");
	wait_for_server(w);
	set(w, "big", (struct str){big, VALUE_MAX + 1}, 0);
	assert_int_equal(w->err.kind, ERR_NONE);
	get(w, "big");
	assert_int_equal(w->err.kind, ERR_LIMIT);
	set(w, "big", (struct str){big, VALUE_MAX}, 0);
	get(w, "big");
	assert_int_equal(w->err.kind, ERR_NONE);
	assert_int_equal(w->value.len, VALUE_MAX);
	/* More calls than are queued: those over it are told at once. */
	for (unsigned i = 0; i < STORAGE_CALLS_MAX; i++)
		storage_get(w->storage, STR("x"), on_reply, w);
	w->replies = 0;
	storage_get(w->storage, STR("x"), on_reply, w);
	assert_int_equal(w->replies, 1);
	assert_int_equal(w->err.kind, ERR_LIMIT);
	run_until(&w->f, w->replies == STORAGE_CALLS_MAX + 1);
	free(big);
	close_storage(w);
}

static void test_a_server_that_stops(void **state)
{
	struct world *w = *state;

	open_storage(w, ",\"timeout\":150");
	wait_for_server(w);
	kill(w->server, SIGSTOP);
	get(w, "x");
	assert_int_equal(w->err.kind, ERR_TIMEOUT);
	/* Under way while it is closed: nobody is called back. */
	storage_get(w->storage, STR("x"), on_reply, w);
	storage_get(w->storage, STR("y"), on_reply, w);
	fixture_spin(&w->f, 3);
	w->replies = 0;
	close_storage(w);
	assert_int_equal(w->replies, 0);
	kill(w->server, SIGCONT);
	open_storage(w, "");
	wait_for_server(w);
	kill(w->server, SIGKILL);
	do
		get(w, "x");
	while (w->err.kind == ERR_NONE);
	assert_int_equal(w->err.kind, ERR_UNAVAILABLE);
	close_storage(w);
}

static void test_settings(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"storage\":\"kong\"}",
		"{\"storage\":5}",
		"{\"storage\":\"redis\"}",
		"{\"storage\":\"redis\",\"storage_config\":{\"redis\":{\"host\":5}}}",
		"{\"storage\":\"redis\",\"storage_config\":{\"redis\":{\"host\":\"a\\u0000b\"}}}",
		"{\"storage\":\"redis\",\"storage_config\":{\"redis\":{\"host\":\"a\",\"port\":0}}"
		"}",
		"{\"storage\":\"redis\",\"storage_config\":{\"redis\":{\"host\":\"a\",\"port\":1.5}"
		"}}",
		"{\"storage\":\"redis\",\"storage_config\":{\"redis\":{\"host\":\"a\",\"timeout\":-"
		"1}}}",
		"{\"storage\":\"redis\",\"storage_config\":{\"redis\":{\"host\":\"a\",\"ssl\":"
		"\"on\"}}}",
		"{\"storage\":\"consul\",\"storage_config\":{\"consul\":{\"kv_path\":\"/\"}}}",
		"{\"storage\":\"consul\",\"storage_config\":{\"consul\":{\"port\":0}}}",
		"{\"storage\":\"vault\",\"storage_config\":{\"vault\":{\"tls_verify\":1}}}",
		"{\"storage\":\"vault\",\"storage_config\":{\"vault\":{\"token\":\"a b\"}}}",
		"{\"storage\":\"vault\",\"storage_config\":{\"vault\":{\"auth_method\":\"x\"}}}",
		"{\"storage\":\"vault\",\"storage_config\":{\"vault\":{\"auth_method\":"
		"\"kubernetes\"}}}",
	};
	const struct storage_limits limits = {.value_max = VALUE_MAX, .keys_max = KEYS_MAX};
	struct loop_fixture f;
	struct storage *s = NULL;

	(void)state;
	fixture_init(&f);
	for (size_t i = 0; i < array_len(bad); i++) {
		json_t *config = json_loads(bad[i], JSON_ALLOW_NUL, NULL);
		struct err e = ERR_INIT;

		assert_non_null(config);
		assert_int_equal(storage_open(&s, &f.loop, config, &limits, &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		json_decref(config);
	}
	fixture_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set_get_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time_to_live, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_server_that_stops, setup, teardown),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
