/* Heads of answers as HTTP/2 sends them: what is added, dropped, lowered, refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/http/session_internal.h"

enum { FIELDS = 4, MANY = 100 };

static const struct {
	const char *name;
	unsigned status;
	int64_t length;
	bool interim;
	const char *server;
	struct http_field fields[FIELDS];
	const char *sent; /* NULL: refused; "D" is the date */
} rows[] = {
	{"nothing", 200, -1, false, NULL, {{{0}, {0}}}, ":status=200;date=D;"},
	{"length", 200, 0, false, NULL, {{{0}, {0}}}, ":status=200;date=D;content-length=0;"},
	{"server",
	 404,
	 10,
	 false,
	 "s/1",
	 {{{0}, {0}}},
	 ":status=404;date=D;server=s/1;content-length=10;"},
	{"empty server", 200, -1, false, "", {{{0}, {0}}}, ":status=200;date=D;"},
	{"204 has no length", 204, 0, false, NULL, {{{0}, {0}}}, ":status=204;date=D;"},
	{"interim", 103, 5, true, "s/1", {{STR("link"), STR("</a>")}}, ":status=103;link=</a>;"},
	{"own date and server",
	 200,
	 -1,
	 false,
	 "s/1",
	 {{STR("date"), STR("then")}, {STR("server"), STR("mine")}},
	 ":status=200;date=then;server=mine;"},
	{"upper case",
	 200,
	 -1,
	 false,
	 "s/1",
	 {{STR("X-Some-NAME"), STR("Value")}, {STR("SERVER"), STR("mine")}},
	 ":status=200;date=D;x-some-name=Value;server=mine;"},
	{"of the connection",
	 200,
	 3,
	 false,
	 NULL,
	 {{STR("Connection"), STR("close")},
	  {STR("transfer-encoding"), STR("chunked")},
	  {STR("Content-Length"), STR("7")},
	  {STR("x"), STR("1")}},
	 ":status=200;date=D;content-length=3;x=1;"},
	{"empty values",
	 200,
	 -1,
	 false,
	 NULL,
	 {{STR("x"), STR("")}, {STR("y"), STR_NONE}, {STR("z"), STR("1")}},
	 ":status=200;date=D;x=;y=;z=1;"},
	{"spaces and high bytes",
	 200,
	 -1,
	 false,
	 NULL,
	 {{STR("x"), STR("a \t\xe9")}},
	 ":status=200;date=D;x=a \t\xe9;"},
	{"a pseudo-field", 200, -1, false, NULL, {{STR(":status"), STR("500")}}, NULL},
	{"a space in a name", 200, -1, false, NULL, {{STR("a b"), STR("1")}}, NULL},
	{"a colon in a name", 200, -1, false, NULL, {{STR("a:"), STR("1")}}, NULL},
	{"a line end in a name", 200, -1, false, NULL, {{STR("a\r\n"), STR("1")}}, NULL},
	{"NUL in a name", 200, -1, false, NULL, {{STR("a\0b"), STR("1")}}, NULL},
	{"a high byte in a name", 200, -1, false, NULL, {{STR("a\xe9"), STR("1")}}, NULL},
	{"a line end in a value",
	 200,
	 -1,
	 false,
	 NULL,
	 {{STR("x"), STR("a\r\nset-cookie: b")}},
	 NULL},
	{"LF in a value", 200, -1, false, NULL, {{STR("x"), STR("a\nb")}}, NULL},
	{"NUL in a value", 200, -1, false, NULL, {{STR("x"), STR("a\0b")}}, NULL},
	{"DEL in a value", 200, -1, false, NULL, {{STR("x"), STR("a\x7f")}}, NULL},
	{"malformed in an interim answer", 103, -1, true, NULL, {{STR("x"), STR("\r")}}, NULL},
};

struct bed {
	struct http_server server;
	struct session session;
	struct exchange x;
};

static void bed_init(struct bed *b, const char *server_header)
{
	memset(b, 0, sizeof(*b));
	http_server_init(&b->server, NULL, NULL);
	b->server.server_header = server_header;
	b->session.server = &b->server;
	b->x.session = &b->session;
	arena_init(&b->x.arena, 0);
}

static void as_text(const struct bed *b, const struct http_fields *f, struct buf *out)
{
	struct str date = {b->server.date, b->server.date_len};

	for (size_t i = 0; i < f->count; i++) {
		struct str value = f->items[i].value;

		assert_int_equal(buf_add_str(out, f->items[i].name, NULL), 0);
		assert_int_equal(buf_add(out, "=", 1, NULL), 0);
		assert_int_equal(buf_add_str(out, str_eq(value, date) ? STR("D") : value, NULL), 0);
		assert_int_equal(buf_add(out, ";", 1, NULL), 0);
	}
}

static void check_row(size_t i)
{
	struct http_field room[FIELDS + SESSION_OWN_FIELDS], given[FIELDS];
	struct http_fields out = {room, 0, array_len(room)};
	struct http_response r = {.status = rows[i].status, .content_length = rows[i].length};
	struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	struct bed b;
	int rc;

	bed_init(&b, rows[i].server);
	memcpy(given, rows[i].fields, sizeof(given));
	r.fields.items = given;
	while (r.fields.count < FIELDS && given[r.fields.count].name.ptr)
		r.fields.count++;
	rc = session_h2_head(&b.x, &r, !rows[i].interim, &out, &e);
	memset(given, 0, sizeof(given));
	if (rows[i].sent) {
		assert_int_equal(rc, 0);
		assert_ptr_equal(out.items, room);
		as_text(&b, &out, &text);
		assert_int_equal(text.len, strlen(rows[i].sent));
		assert_memory_equal(text.data, rows[i].sent, text.len);
	} else {
		assert_int_equal(rc, -1);
		assert_int_equal(e.kind, ERR_INVALID);
	}
	buf_deinit(&text);
	arena_deinit(&b.x.arena);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		print_message("%s\n", rows[i].name);
		check_row(i);
	}
}

/* More than the caller has room for. */
static void test_many(void **state)
{
	struct http_field given[MANY], room[2];
	struct http_fields out = {room, 0, 2};
	struct http_response r = {.status = 200, .fields = {given, MANY, MANY}};
	struct err e = ERR_INIT;
	struct bed b;

	(void)state;
	bed_init(&b, "s");
	for (size_t i = 0; i < MANY; i++)
		given[i] = (struct http_field){STR("X-Many"), STR("v")};
	assert_int_equal(session_h2_head(&b.x, &r, true, &out, &e), 0);
	assert_int_equal(out.count, MANY + SESSION_OWN_FIELDS);
	assert_true(str_eq(out.items[MANY].name, STR("x-many")));
	arena_deinit(&b.x.arena);
}

static void test_no_memory(void **state)
{
	struct http_field room[SESSION_OWN_FIELDS] = {0};
	struct http_response r = {.status = 200, .content_length = 1};
	struct bed b;

	(void)state;
	for (size_t limit = 1; limit < 64; limit += 16) {
		struct http_fields out = {room, 0, array_len(room)};
		struct err e = ERR_INIT;

		bed_init(&b, NULL);
		arena_init(&b.x.arena, limit);
		assert_int_equal(session_h2_head(&b.x, &r, true, &out, &e), -1);
		assert_int_equal(e.kind, ERR_MEMORY);
		arena_deinit(&b.x.arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
