/* Rows TR-10 (no request makes two lines) and SL-11 (a worker never waits). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data-plane/proxy/access_log.h"

static const int64_t noon = 1795867200123; /* 2026-11-28T12:00:00.123Z */

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, str_from(text), NULL), 0);
	return a;
}

static struct access_entry entry_of(const struct addr *client)
{
	return (struct access_entry){
		.client = client,
		.peer = client,
		.id = STR("0123456789abcdef0123456789abcdef"),
		.method = STR("GET"),
		.target = STR("/a?b=c"),
		.host = STR("a.example"),
		.version = HTTP_11,
		.status = 200,
		.bytes_out = 17,
	};
}

static void test_combined(void **state)
{
	struct addr client = addr_of("192.0.2.1:4711");
	struct access_entry e = entry_of(&client);
	char out[ACCESS_LINE_MAX];
	size_t n;

	(void)state;
	n = access_log_format(out, ACCESS_COMBINED, &e, noon);
	out[n] = '\0';
	assert_string_equal(out, "192.0.2.1 - - [28/Nov/2026:12:00:00 +0000] \"GET /a?b=c "
				 "HTTP/1.1\" 200 17 \"-\" \"-\"\n");
	e.consumer = STR("bob");
	e.user_agent = STR("x\"y\\z\r\n127.0.0.1 - - \x7f\xff");
	e.referer = STR("http://b/");
	e.version = HTTP_2;
	n = access_log_format(out, ACCESS_COMBINED, &e, noon + 1000);
	out[n] = '\0';
	assert_string_equal(out,
			    "192.0.2.1 - bob [28/Nov/2026:12:00:01 +0000] \"GET /a?b=c HTTP/2.0\" "
			    "200 17 \"http://b/\" "
			    "\"x\\x22y\\x5cz\\x0d\\x0a127.0.0.1 - - \\x7f\\xff\"\n");
	e.method = STR_NONE;
	n = access_log_format(out, ACCESS_COMBINED, &e, noon);
	out[n] = '\0';
	assert_non_null(strstr(out, "] \"-\" 200 "));
}

/* A connection that is no request: what its client says cannot make it look like one. */
static void test_stream(void **state)
{
	struct addr client = addr_of("192.0.2.1:4711");
	struct access_entry e = {.client = &client,
				 .peer = &client,
				 .stream = "tls_passthrough",
				 .sni = STR("a.example"),
				 .status = 200,
				 .bytes_in = 5,
				 .bytes_out = 17};
	char out[ACCESS_LINE_MAX];
	json_t *line;
	size_t n;

	(void)state;
	n = access_log_format(out, ACCESS_COMBINED, &e, noon);
	out[n] = '\0';
	assert_string_equal(out, "192.0.2.1 - - [28/Nov/2026:12:00:00 +0000] "
				 "\"tls_passthrough a.example\" 200 17 \"-\" \"-\"\n");
	n = access_log_format(out, ACCESS_JSON, &e, noon);
	line = json_loadb(out, n, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(line, "protocol")),
			    "tls_passthrough");
	assert_string_equal(json_string_value(json_object_get(line, "sni")), "a.example");
	assert_null(json_object_get(line, "method"));
	assert_int_equal(json_integer_value(json_object_get(line, "bytes_in")), 5);
	json_decref(line);
	e.sni = STR_NONE;
	e.stream = "tcp";
	n = access_log_format(out, ACCESS_COMBINED, &e, noon);
	out[n] = '\0';
	assert_non_null(strstr(out, "] \"tcp -\" 200 17 "));
}

static const char *text_of(const json_t *line, const char *key)
{
	return json_string_value(json_object_get(line, key));
}

static void test_json(void **state)
{
	struct addr client = addr_of("[2001:db8::1]:4711"), upstream = addr_of("10.0.0.1:80");
	struct access_entry e = entry_of(&client);
	char out[ACCESS_LINE_MAX];
	json_t *line;
	size_t n;

	(void)state;
	e.user_agent = STR("x\"y\\z\r\n{\x01");
	e.referer = STR("caf\xc3\xa9");
	e.target = STR("/\xff\xfe");
	e.host = STR("a\xe2\x80\xa8"
		     "b\xe2\x80\xa9\xc2\x85"
		     "c\xc2\xa0");
	e.upstream = &upstream;
	e.upstream_status = 502;
	e.tls = "TLSv1.3";
	e.aborted = true;
	n = access_log_format(out, ACCESS_JSON, &e, noon);
	assert_int_equal(out[n - 1], '\n');
	line = json_loadb(out, n, 0, NULL);
	assert_non_null(line);
	assert_string_equal(text_of(line, "time"), "2026-11-28T12:00:00.123Z");
	assert_string_equal(text_of(line, "client"), "[2001:db8::1]:4711");
	assert_string_equal(text_of(line, "user_agent"), "x\"y\\z\r\n{\x01");
	assert_string_equal(text_of(line, "referer"), "caf\xc3\xa9");
	assert_string_equal(text_of(line, "target"), "/\xc3\xbf\xc3\xbe");
	assert_string_equal(text_of(line, "upstream"), "10.0.0.1:80");
	assert_non_null(strstr(out, "\"host\":\"a\\u2028b\\u2029\\u0085c\xc2\xa0\""));
	assert_string_equal(text_of(line, "tls"), "TLSv1.3");
	assert_int_equal(json_integer_value(json_object_get(line, "upstream_status")), 502);
	assert_true(json_is_true(json_object_get(line, "aborted")));
	assert_null(json_object_get(line, "sni"));
	json_decref(line);
}

/* TR-10: every byte in every text: one line, and JSON that can be read. */
static void test_every_byte(void **state)
{
	struct addr client = addr_of("192.0.2.1:1");
	char out[ACCESS_LINE_MAX];

	(void)state;
	for (unsigned b = 0; b < 256; b++) {
		const char bytes[] = {'a', (char)b, (char)b, 'z'};
		struct str s = {bytes, sizeof(bytes)};
		struct access_entry e = entry_of(&client);

		e.method = e.target = e.host = e.sni = e.user_agent = e.referer = s;
		e.route = e.service = e.consumer = s;
		for (int format = ACCESS_COMBINED; format <= ACCESS_JSON; format++) {
			size_t n = access_log_format(out, (enum access_format)format, &e, noon);
			json_t *line;

			for (size_t i = 0; i + 1 < n; i++)
				if ((unsigned char)out[i] < ' ' || out[i] == 0x7f)
					fail_msg("byte %u stands as it is", b);
			assert_int_equal(out[n - 1], '\n');
			if (format == ACCESS_COMBINED)
				continue;
			line = json_loadb(out, n, JSON_ALLOW_NUL, NULL);
			if (!line)
				fail_msg("byte %u breaks the JSON", b);
			json_decref(line);
		}
	}
}

static void test_long_values_are_cut(void **state)
{
	static char big[100000];
	struct addr client = addr_of("192.0.2.1:1");
	struct access_entry e = entry_of(&client);
	char out[ACCESS_LINE_MAX];

	(void)state;
	for (int control = 0; control < 2; control++) {
		memset(big, control ? 1 : 'x', sizeof(big));
		e.target = e.user_agent = e.referer = (struct str){big, sizeof(big)};
		for (int format = ACCESS_COMBINED; format <= ACCESS_JSON; format++) {
			size_t n = access_log_format(out, (enum access_format)format, &e, noon);

			assert_true(n <= ACCESS_LINE_MAX);
			assert_int_equal(out[n - 1], '\n');
		}
	}
}

/* --- the file --- */

static char folder[] = "/tmp/cardea-access.XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static const char *path_of(const char *name)
{
	static char path[2][128];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

static struct access_log *open_log(const char *path, size_t writers)
{
	const struct access_log_options o = {path, ACCESS_COMBINED, writers};
	struct err e = ERR_INIT;
	struct access_log *l;

	if (access_log_create(&l, &o, &e) != 0)
		fail_msg("%s", e.message);
	return l;
}

static size_t lines_in(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n = 0;
	int c;

	if (!f)
		return 0;
	while ((c = fgetc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void wait_for_lines(const char *path, size_t n)
{
	for (int i = 0; i < 1000 && lines_in(path) < n; i++)
		usleep(10000);
	assert_int_equal(lines_in(path), n);
}

static void write_lines(struct access_log *l, size_t writer, size_t n)
{
	struct addr client = addr_of("192.0.2.1:1");
	struct access_entry e = entry_of(&client);

	for (size_t i = 0; i < n; i++)
		access_log_write(l, writer, &e);
}

static void test_lines_reach_the_file(void **state)
{
	const char *path = path_of("log");
	struct access_log *l = open_log(path, 1);
	struct stat st;

	(void)state;
	write_lines(l, 0, 3);
	wait_for_lines(path, 3);
	write_lines(l, 0, 2);
	wait_for_lines(path, 5);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0137, 0);
	write_lines(l, 0, 1);
	access_log_free(l); /* writes what waits */
	assert_int_equal(lines_in(path), 6);
	unlink(path);
}

static void test_opened_again(void **state)
{
	char path[128], moved[128];
	struct access_log *l;

	(void)state;
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(moved, sizeof(moved), "%s/log.1", folder);
	l = open_log(path, 1);
	write_lines(l, 0, 2);
	wait_for_lines(path, 2);
	assert_int_equal(rename(path, moved), 0);
	access_log_reopen(l);
	for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++)
		usleep(10000);
	write_lines(l, 0, 3);
	wait_for_lines(path, 3);
	assert_int_equal(lines_in(moved), 2);
	access_log_free(l);
	unlink(path);
	unlink(moved);
}

enum { THREADS = 4, EACH = 5000 };

struct writer {
	struct access_log *log;
	size_t number;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;

	write_lines(w->log, w->number, EACH);
	return NULL;
}

static void test_several_workers(void **state)
{
	const char *path = path_of("log");
	struct access_log *l = open_log(path, THREADS);
	struct writer writers[THREADS];
	pthread_t threads[THREADS];
	uint64_t dropped;

	(void)state;
	for (size_t i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){l, i};
		assert_int_equal(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	dropped = access_log_dropped(l);
	wait_for_lines(path, THREADS * EACH - dropped);
	access_log_free(l);
	unlink(path);
}

/* A reader that does not read: the ring fills, lines are dropped and counted, nobody waits. */
static void test_nobody_reads(void **state)
{
	const char *path = path_of("pipe");
	enum { MANY = 50000 };
	struct access_log *l;
	int reader;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	l = open_log(path, 1);
	write_lines(l, 0, MANY);
	assert_true(access_log_dropped(l) > MANY / 2);
	assert_true(access_log_dropped(l) < MANY);
	access_log_free(l); /* does not wait for the reader for ever */
	close(reader);
	unlink(path);
}

static void test_disk_is_full(void **state)
{
	struct access_log *l = open_log("/dev/full", 1);

	(void)state;
	write_lines(l, 0, 100);
	for (int i = 0; i < 1000 && access_log_dropped(l) < 100; i++)
		usleep(10000);
	assert_int_equal(access_log_dropped(l), 100);
	access_log_free(l);
}

static void test_cannot_be_opened(void **state)
{
	const struct access_log_options o = {"/nonexistent/log", ACCESS_JSON, 1};
	struct access_log *l = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(access_log_create(&l, &o, &e), -1);
	assert_non_null(strstr(e.message, "/nonexistent/log"));
	assert_null(l);
	access_log_free(NULL);
	access_log_reopen(NULL);
	access_log_write(NULL, 0, NULL);
	assert_int_equal(access_log_dropped(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_combined),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_long_values_are_cut),
		cmocka_unit_test(test_lines_reach_the_file),
		cmocka_unit_test(test_opened_again),
		cmocka_unit_test(test_several_workers),
		cmocka_unit_test(test_nobody_reads),
		cmocka_unit_test(test_disk_is_full),
		cmocka_unit_test(test_cannot_be_opened),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
