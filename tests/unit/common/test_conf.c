#include "common/conf/conf.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net/addr.h"
#include "tests/unit/lib/oom.h"

struct target {
	char *name, *password, *path;
	bool flag;
	int64_t port;
	uint64_t size, timeout;
	int database;
	struct listen_list listen;
};

static const char *const databases[] = {"postgres", "off", NULL};

#define AT(field) offsetof(struct target, field)
static const struct conf_key keys[] = {
	{"name", CONF_STRING, AT(name), "gateway", 0, 0, NULL, "a name"},
	{"pg_password", CONF_SECRET, AT(password), NULL, 0, 0, NULL, "a secret"},
	{"prefix", CONF_PATH, AT(path), "", 0, 0, NULL, "a folder"},
	{"flag", CONF_BOOL, AT(flag), "on", 0, 0, NULL, "a switch"},
	{"pg_port", CONF_INT, AT(port), "5432", 1, 65535, NULL, "a port"},
	{"body_size", CONF_SIZE, AT(size), "8m", 1024, 1 << 30, NULL, "bytes"},
	{"timeout", CONF_DURATION, AT(timeout), "60s", 100, 86400000, NULL, "a time"},
	{"database", CONF_ENUM, AT(database), "postgres", 0, 0, databases, "a choice"},
	{"admin_listen", CONF_LISTEN, AT(listen), "127.0.0.1:8001", 0, 0, NULL, "listeners"},
};

/* A configuration file of the given text, loaded. */
static int load(struct str text, struct target *t, char *path, struct err *e)
{
	static const char pattern[] = "/tmp/cardea-conf-XXXXXX";
	int fd, result;

	memcpy(path, pattern, sizeof(pattern));
	fd = mkstemp(path);
	assert_int_equal(write(fd, text.ptr, text.len), (ssize_t)text.len);
	close(fd);
	memset(t, 0, sizeof(*t));
	result = conf_load(keys, array_len(keys), t, path, e);
	unlink(path);
	return result;
}

static void test_defaults(void **state)
{
	struct target t = {.name = NULL};
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(conf_load(keys, array_len(keys), &t, NULL, &e), 0);
	assert_string_equal(t.name, "gateway");
	assert_null(t.password);
	assert_null(t.path);
	assert_true(t.flag);
	assert_int_equal(t.port, 5432);
	assert_int_equal(t.size, 8 << 20);
	assert_int_equal(t.timeout, 60000);
	assert_int_equal(t.database, 0);
	assert_int_equal(t.listen.count, 1);
	conf_free(keys, array_len(keys), &t);
	assert_null(t.name);
	assert_int_equal(t.listen.count, 0);
}

struct good {
	const char *text, *key, *want;
};

static const struct good good[] = {
	{"", "name", "gateway"},
	{"\n\n# name = x\n   # more\n", "name", "gateway"},
	{"name = x", "name", "x"},
	{"name=x\n", "name", "x"},
	{"  name\t=\t x y \r\n", "name", "x y"},
	{"\xEF\xBB\xBFname = x\n", "name", "x"},
	{"name =\n", "name", ""},
	{"name = x # comment", "name", "x"},
	{"name = # comment", "name", ""},
	{"name = x#y", "name", "x#y"},
	{"name = \"x # y \"  # comment", "name", "x # y "},
	{"name = \"\"", "name", ""},
	{"name = a=b", "name", "a=b"},
	{"name = b\xC3\xBC", "name", "b\xC3\xBC"},
	{"pg_password = s3cret", "pg_password", "******"},
	{"pg_password =", "pg_password", ""},
	{"flag = off", "flag", "off"},
	{"flag = NO", "flag", "off"},
	{"flag = true", "flag", "on"},
	{"pg_port = 1", "pg_port", "1"},
	{"pg_port = 65535", "pg_port", "65535"},
	{"body_size = 1024", "body_size", "1k"},
	{"body_size = 1025", "body_size", "1025"},
	{"body_size = 1G", "body_size", "1g"},
	{"timeout = 100ms", "timeout", "100ms"},
	{"timeout = 90", "timeout", "90s"},
	{"timeout = 120s", "timeout", "2m"},
	{"timeout = 24h", "timeout", "1d"},
	{"database = off", "database", "off"},
	{"admin_listen = off", "admin_listen", "off"},
	{"admin_listen =", "admin_listen", "off"},
	{"admin_listen = 0.0.0.0:8001, [::1]:8444 ssl http2 reuseport backlog=64", "admin_listen",
	 "0.0.0.0:8001, [::1]:8444 ssl http2 reuseport backlog=64"},
};

static const struct conf_key *key_named(const char *name)
{
	for (size_t i = 0; i < array_len(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(good); i++) {
		struct target t;
		struct buf text = BUF_INIT;
		struct err e = ERR_INIT;
		char path[64];

		if (load(str_from(good[i].text), &t, path, &e) < 0)
			fail_msg("%s: %s", good[i].text, e.message);
		assert_int_equal(conf_value_text(key_named(good[i].key), &t, &text, &e), 0);
		if (!str_eq(buf_str(&text), str_from(good[i].want)))
			fail_msg("%s: %s", good[i].text, text.data);
		buf_deinit(&text);
		conf_free(keys, array_len(keys), &t);
	}
}

struct bad {
	struct str text;
	const char *want; /* after "FILE:" */
};

#define S(literal)                                                                                 \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}
static const struct bad bad[] = {
	{S("nam = x"), "1: nam: unknown key; the closest known key is name"},
	{S("\n\nadmin_lisen = off"),
	 "3: admin_lisen: unknown key; the closest known key is admin_listen"},
	{S("PG_PORT = 1"), "1: PG_PORT: unknown key"},
	{S("database_ = off"), "1: database_: unknown key; the closest known key is database"},
	{S("name"), "1: expected `key = value`"},
	{S("= x"), "1: expected `key = value`"},
	{S("[section]\nname = x"), "1: expected `key = value`"},
	{S("name: x"), "1: expected `key = value`"},
	{S("name = x\nflag = off\nname = y"), "3: name: stands twice, first at line 1"},
	{S("name = \"x"), "1: name: the closing quote is missing"},
	{S("name = \"x\" y"), "1: name: text after the closing quote"},
	{S("name = a\0b"), "1: control byte 0x00"},
	{S("name = a\x1b[0m"), "1: control byte 0x1b"},
	{S("flag = 2"), "1: flag: \"2\" is not allowed; expected on or off"},
	{S("flag ="), "1: flag: \"\" is not allowed; expected on or off"},
	{S("flag = onn"), "1: flag: \"onn\" is not allowed"},
	{S("pg_port = 0"), "1: pg_port: 0 is out of range; expected 1 to 65535"},
	{S("pg_port = 65536"), "1: pg_port: 65536 is out of range; expected 1 to 65535"},
	{S("pg_port = -1"), "1: pg_port: -1 is out of range"},
	{S("pg_port = 0x10"), "1: pg_port: \"0x10\" is not allowed; expected a whole number"},
	{S("pg_port = 1.5"), "1: pg_port: \"1.5\" is not allowed"},
	{S("pg_port = +1"), "1: pg_port: \"+1\" is not allowed"},
	{S("pg_port = --1"), "1: pg_port: \"--1\" is not allowed"},
	{S("pg_port = -"), "1: pg_port: \"-\" is not allowed"},
	{S("pg_port ="), "1: pg_port: \"\" is not allowed"},
	{S("pg_port = 54 32"), "1: pg_port: \"54 32\" is not allowed"},
	{S("pg_port = 99999999999999999999"),
	 "1: pg_port: \"99999999999999999999\" is not allowed"},
	{S("body_size = 1"), "1: body_size: \"1\" is out of range; expected 1k to 1g"},
	{S("body_size = 2g"), "1: body_size: \"2g\" is out of range; expected 1k to 1g"},
	{S("body_size = 8mb"), "1: body_size: \"8mb\" is not allowed; expected bytes such as"},
	{S("body_size = m"), "1: body_size: \"m\" is not allowed"},
	{S("body_size = 1 m"), "1: body_size: \"1 m\" is not allowed"},
	{S("body_size = -1k"), "1: body_size: \"-1k\" is not allowed"},
	{S("body_size = 17179869185g"), "1: body_size: \"17179869185g\" is not allowed"},
	{S("timeout = 99ms"), "1: timeout: \"99ms\" is out of range; expected 100ms to 1d"},
	{S("timeout = 2d"), "1: timeout: \"2d\" is out of range"},
	{S("timeout = 1w"), "1: timeout: \"1w\" is not allowed; expected a duration such as"},
	{S("timeout = 1h30m"), "1: timeout: \"1h30m\" is not allowed"},
	{S("timeout = 18446744073709551615"),
	 "1: timeout: \"18446744073709551615\" is not allowed"},
	{S("database = Postgres"),
	 "1: database: \"Postgres\" is not allowed; expected one of: postgres, off"},
	{S("database ="), "1: database: \"\" is not allowed"},
	{S("admin_listen = nowhere"), "1: admin_listen: "},
	{S("admin_listen = 127.0.0.1:99999"), "1: admin_listen: "},
	{S("admin_listen = 127.0.0.1:80 sll"), "1: admin_listen: "},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(bad); i++) {
		struct target t, zero;
		struct err e = ERR_INIT;
		char path[64], want[512];

		memset(&zero, 0, sizeof(zero));
		if (load(bad[i].text, &t, path, &e) == 0)
			fail_msg("%s: accepted", bad[i].text.ptr);
		(void)snprintf(want, sizeof(want), "%s:%s", path, bad[i].want);
		if (!str_starts(str_from(e.message), str_from(want)))
			fail_msg("%s: %s", bad[i].text.ptr, e.message);
		assert_memory_equal(&t, &zero, sizeof(t));
	}
}

static void test_environment(void **state)
{
	static const struct {
		const char *name, *value, *want; /* want NULL: accepted */
	} rows[] = {
		{"CARDEA_NAME", "from env", NULL},
		{"CARDEA_PG_PORT", "7", NULL},
		{"CARDEA_PG_PORT", "70000",
		 "environment: CARDEA_PG_PORT: 70000 is out of range; expected 1 to 65535"},
		{"CARDEA_PG_PORTS", "7",
		 "environment: CARDEA_PG_PORTS: unknown key; the closest known key is pg_port"},
		{"CARDEA_CLI_SERVER", "http://a", NULL},
		{"CARDEA_CLI", "7", "environment: CARDEA_CLI: unknown key"},
		{"CARDEA_", "7", "environment: CARDEA_: unknown key"},
		{"CARDEA_FLAG", "", "environment: CARDEA_FLAG: \"\" is not allowed"},
		{"CARDEA_"
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		 "x", "environment: CARDEA_AAAA"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct target t;
		struct err e = ERR_INIT;
		char path[64];
		int got;

		assert_int_equal(setenv(rows[i].name, rows[i].value, 1), 0);
		got = load(STR("name = file\npg_port = 9\n"), &t, path, &e);
		unsetenv(rows[i].name);
		if (rows[i].want) {
			assert_int_equal(got, -1);
			if (!str_starts(str_from(e.message), str_from(rows[i].want)))
				fail_msg("%s: %s", rows[i].name, e.message);
			continue;
		}
		assert_int_equal(got, 0);
		assert_string_equal(t.name, i == 0 ? "from env" : "file");
		assert_int_equal(t.port, i == 1 ? 7 : 9);
		conf_free(keys, array_len(keys), &t);
	}
}

static void test_files(void **state)
{
	struct target t = {.name = NULL};
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(conf_load(keys, array_len(keys), &t, "/nonexistent/cardea.conf", &e), -1);
	assert_string_equal(e.message, "/nonexistent/cardea.conf: No such file or directory");
	assert_int_equal(conf_load(keys, array_len(keys), &t, "/", &e), -1);
	assert_int_equal(conf_load(keys, array_len(keys), &t, "/dev/zero", &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
}

static void test_bad_default(void **state)
{
	static const struct conf_key broken[] = {
		{"pg_port", CONF_INT, AT(port), "none", 1, 65535, NULL, "a port"}};
	struct target t = {.name = NULL};
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(conf_load(broken, 1, &t, NULL, &e), -1);
	assert_true(str_starts(str_from(e.message), STR("default: pg_port: ")));
}

/* What conf_print shows can be loaded again, secrets apart. */
static void test_print(void **state)
{
	struct target t, again;
	struct err e = ERR_INIT;
	char path[64], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_int_equal(load(STR("name = \"a # b\"\npg_password = hunter2\ntimeout = 1500ms\n"),
			      &t, path, &e),
			 0);
	conf_print(keys, array_len(keys), &t, out);
	fclose(out);
	assert_string_equal(text, "name = \"a # b\"\npg_password = ******\nprefix =\nflag = on\n"
				  "pg_port = 5432\nbody_size = 8m\ntimeout = 1500ms\n"
				  "database = postgres\nadmin_listen = 127.0.0.1:8001\n");
	assert_int_equal(load((struct str){text, len}, &again, path, &e), 0);
	assert_string_equal(again.name, "a # b");
	assert_int_equal(again.timeout, 1500);
	conf_free(keys, array_len(keys), &t);
	conf_free(keys, array_len(keys), &again);
	free(text);
}

static void load_some(void *arg)
{
	struct target t = {.name = NULL};
	struct err e = ERR_INIT;

	if (conf_load(keys, array_len(keys), &t, arg, &e) == 0)
		conf_free(keys, array_len(keys), &t);
	assert_null(t.name);
	assert_null(t.password);
}

static void test_out_of_memory(void **state)
{
	char path[] = "/tmp/cardea-conf-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "name = a\npg_password = b\n", 25), 25);
	close(fd);
	assert_true(oom_each(load_some, path) > 4);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),	 cmocka_unit_test(test_environment),
		cmocka_unit_test(test_files),	 cmocka_unit_test(test_bad_default),
		cmocka_unit_test(test_print),	 cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
