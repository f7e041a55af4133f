#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/net/sockets.h"
#include "tests/unit/lib/oom.h"

static struct addr address(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(&a, str_from(text), NULL), 0);
	return a;
}

static int listening(void)
{
	struct addr a = address("127.0.0.1:0");
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &a.u.sa, sizeof(a.u.in4)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static bool is_open(int fd)
{
	int type;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

static void test_taken_by_address(void **state)
{
	struct addr a = address("127.0.0.1:80"), b = address("[::1]:80"),
		    c = address("127.0.0.1:81");
	struct sockets s;
	int fd = listening(), first, second;

	(void)state;
	sockets_init(&s);
	assert_int_equal(sockets_take(&s, &a), -1);
	assert_int_equal(sockets_add(&s, &a, fd, NULL), 0);
	assert_int_equal(sockets_add(&s, &b, fd, NULL), 0);
	assert_int_equal(sockets_add(&s, &a, fd, NULL), 0);
	assert_int_equal(s.count, 3);
	assert_int_equal(sockets_take(&s, &c), -1);
	first = sockets_take(&s, &a);
	second = sockets_take(&s, &a);
	assert_true(first >= 0 && second >= 0 && first != second && first != fd && second != fd);
	assert_int_equal(sockets_take(&s, &a), -1);
	assert_int_equal(s.count, 1);
	sockets_deinit(&s);
	assert_true(is_open(first) && is_open(second) && is_open(fd));
	close(first);
	close(second);
	close(fd);
}

static void test_what_is_left_is_closed(void **state)
{
	struct addr a = address("127.0.0.1:80");
	struct sockets s;
	int fd = listening(), own;

	(void)state;
	sockets_init(&s);
	assert_int_equal(sockets_add(&s, &a, fd, NULL), 0);
	own = s.items[0].fd;
	sockets_deinit(&s);
	assert_false(is_open(own));
	assert_true(is_open(fd));
	assert_int_equal(sockets_add(&s, &a, -1, NULL), -1);
	sockets_deinit(&s);
	close(fd);
}

static void test_text(void **state)
{
	struct addr a = address("127.0.0.1:80"), b = address("[::1]:8443");
	struct sockets s, in;
	struct buf out = BUF_INIT;
	int fd = listening(), low;

	(void)state;
	sockets_init(&s);
	assert_int_equal(sockets_export(&s, &out, NULL), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(sockets_add(&s, &a, fd, NULL), 0);
	assert_int_equal(sockets_add(&s, &b, fd, NULL), 0);
	assert_int_equal(sockets_export(&s, &out, NULL), 0);
	assert_string_equal(out.data, "127.0.0.1:80 [::1]:8443");
	low = s.items[0].fd;
	assert_int_equal(s.items[1].fd, low + 1); /* the lowest that are free */
	assert_int_equal(sockets_import(&in, buf_str(&out), low, NULL), 0);
	assert_int_equal(in.count, 2);
	assert_int_equal(sockets_take(&in, &b), low + 1);
	assert_int_equal(sockets_take(&in, &a), low);
	sockets_deinit(&in);
	sockets_deinit(&s);
	buf_deinit(&out);
	close(fd);
}

static void test_bad_text(void **state)
{
	static const char *const rows[] = {
		"127.0.0.1",
		"host:80",
		"127.0.0.1:80 x",
		":",
		"127.0.0.1:80  127.0.0.1:81",
		"127.0.0.1:70000",
		"127.0.0.1:80 127.0.0.1:81", /* the second is no descriptor */
	};
	int fd = listening();
	int plain;
	struct sockets s;
	struct err e = ERR_INIT;

	(void)state;
	close(fd + 1); /* so that a second address has no descriptor */
	for (size_t i = 0; i < array_len(rows); i++) {
		assert_int_equal(sockets_import(&s, str_from(rows[i]), fd, &e), -1);
		assert_int_equal(s.count, 0);
		assert_true(is_open(fd));
	}
	plain = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(sockets_import(&s, STR("127.0.0.1:80"), plain, &e), -1);
	assert_non_null(strstr(e.message, "no listening socket"));
	close(plain);
	close(fd);
}

static void fill(void *arg)
{
	struct addr a = address("127.0.0.1:80");
	struct err e = ERR_INIT;
	struct sockets s;
	int rc = 0;

	sockets_init(&s);
	for (int i = 0; rc == 0 && i < 20; i++)
		rc = sockets_add(&s, &a, *(int *)arg, &e);
	assert_true(rc == 0 || e.kind == ERR_MEMORY);
	sockets_deinit(&s);
}

static void test_out_of_memory(void **state)
{
	int fd = listening();

	(void)state;
	assert_true(oom_each(fill, &fd) >= 2);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_by_address),
		cmocka_unit_test(test_what_is_left_is_closed),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
