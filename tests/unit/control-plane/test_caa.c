/* CAA records out of DNS answers, most of them broken, and what they allow. */
#include "control-plane/acme/caa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* id 1, an answer without errors; the question is "a." of type CAA. */
#define HEAD(answers) "\x00\x01\x81\x80\x00\x01\x00" answers "\x00\x00\x00\x00"
#define QUESTION "\x01\x61\x00\x01\x01\x00\x01"
#define RECORD(type, size, data) "\xc0\x0c" type "\x00\x01\x00\x00\x00\x3c\x00" size data
#define CAA "\x01\x01"
#define BYTES(text) (const unsigned char *)(text), sizeof(text) - 1

static void test_answers(void **state)
{
	static const struct {
		const unsigned char *bytes;
		size_t size;
		const char *expected; /* NULL: broken */
	} rows[] = {
		{BYTES(HEAD("\x00") QUESTION), ""},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x09", "\x00\x05issueca")),
		 "issue \"ca\""},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x09", "\x80\x05ISSUEca")),
		 "critical issue \"ca\""},
		{BYTES(HEAD("\x02") QUESTION RECORD(CAA, "\x07", "\x00\x05issue")
			       RECORD(CAA, "\x08", "\x00\x05iodefx")),
		 "issue \"\", iodef \"x\""},
		/* Another type, as of an alias on the way. */
		{BYTES(HEAD("\x02") QUESTION RECORD("\x00\x05", "\x02", "\xc0\x0c")
			       RECORD(CAA, "\x08", "\x00\x05issueb")),
		 "issue \"b\""},
		/* A value that names nobody. */
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x09", "\x00\x05issue\x01\x02")),
		 "issue \"\""},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x00", "")), NULL},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x01", "\x00")), NULL},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x02", "\x00\x00")), NULL},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x06", "\x00\x05issu")), NULL},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x07", "\x00\x05iss-e")), NULL},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x07",
						    "\x00\x05iss\x00"
						    "e")),
		 NULL},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x12",
						    "\x00\x10"
						    "aaaaaaaaaaaaaaaa")),
		 NULL},
		{BYTES(HEAD("\x02") QUESTION RECORD(CAA, "\x08", "\x00\x05issueb")), NULL},
		{BYTES(HEAD("\x01") QUESTION RECORD(CAA, "\x09", "\x00\x05issueb")), NULL},
		{BYTES(HEAD("\x01")), NULL},
		{BYTES("\x00\x01\x81"), NULL},
		{BYTES(""), NULL},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct caa c = {.count = 0};
		struct err e = ERR_INIT;
		struct buf text = BUF_INIT;
		int rc = caa_read(&c, rows[i].bytes, rows[i].size, &e);

		if ((rc == 0) != (rows[i].expected != NULL))
			fail_msg("row %zu: %d %s", i, rc, e.message);
		if (rc == 0) {
			assert_int_equal(buf_add_str(&text, STR(""), NULL), 0);
			assert_int_equal(caa_text(&c, &text, NULL), 0);
			if (!str_eq(buf_str(&text), str_from(rows[i].expected)))
				fail_msg("row %zu: %.*s", i, (int)text.len, text.data);
		} else {
			assert_int_equal(e.kind, ERR_INVALID);
		}
		buf_deinit(&text);
	}
}

static void test_no_more_than_fit(void **state)
{
	static const unsigned char one[] =
		HEAD("\x01") QUESTION RECORD(CAA, "\x08", "\x00\x05issueb");
	struct caa c = {.count = 0};
	struct err e = ERR_INIT;

	(void)state;
	for (int i = 0; i < CAA_RECORDS_MAX; i++)
		assert_int_equal(caa_read(&c, one, sizeof(one) - 1, &e), 0);
	assert_int_equal(caa_read(&c, one, sizeof(one) - 1, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_int_equal(c.count, CAA_RECORDS_MAX);
}

#define OURS "https://ca.example/acct/1"

static void test_who_may_issue(void **state)
{
	static const struct {
		struct caa_record records[3];
		bool allowed;
	} rows[] = {
		{{{false, "", ""}}, true},
		{{{false, "issue", "ca.example"}}, true},
		{{{false, "issue", " CA.example\t"}}, true},
		{{{false, "issue", "ca.example.net"}}, true}, /* it has two */
		{{{false, "issue", "other.example"}}, false},
		{{{false, "issue", "other.example"}, {false, "issue", "ca.example"}}, true},
		{{{false, "issue", ""}}, false},
		{{{false, "issue", ";"}}, false},
		{{{false, "issue", "ca.example ca.example.net"}}, false},
		{{{false, "issue", "www.ca.example"}}, false},
		/* For wildcards, and for something else altogether. */
		{{{false, "issuewild", "other.example"}}, true},
		{{{false, "iodef", "mailto:a@b.example"}}, true},
		{{{false, "issuewild", "ca.example"}, {false, "issue", ";"}}, false},
		{{{false, "new", "x"}}, true},
		{{{true, "new", "x"}}, false},
		{{{true, "new", "x"}, {false, "issue", "ca.example"}}, false},
		{{{true, "issue", "ca.example"}}, true},
		{{{true, "iodef", "mailto:a@b.example"}}, true},
		/* RFC 8657. */
		{{{false, "issue", "ca.example; accounturi=" OURS}}, true},
		{{{false, "issue", "ca.example ; accounturi = " OURS " "}}, true},
		{{{false, "issue", "ca.example; accounturi=" OURS "0"}}, false},
		{{{false, "issue", "ca.example; accounturi"}}, false},
		{{{false, "issue", "ca.example; AccountURI=x"}}, false},
		{{{false, "issue", "ca.example; validationmethods=http-01"}}, true},
		{{{false, "issue", "ca.example; validationmethods=dns-01,http-01"}}, true},
		{{{false, "issue", "ca.example; validationmethods=dns-01"}}, false},
		{{{false, "issue", "ca.example; validationmethods="}}, false},
		{{{false, "issue", "ca.example; validationmethods=http-01x"}}, false},
		{{{false, "issue", "ca.example; validationmethods=http-01; accounturi=x"}}, false},
		{{{false, "issue", "ca.example; policy=ev; x"}}, true},
	};
	const struct caa_issuer ca = {"ca.example.net ca.example", OURS, "http-01"};
	const struct caa_issuer nobody = {"", OURS, "http-01"};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct caa c = {.count = 0};

		while (c.count < array_len(rows[i].records) && rows[i].records[c.count].tag[0]) {
			c.items[c.count] = rows[i].records[c.count];
			c.count++;
		}
		if (caa_allows(&c, &ca) != rows[i].allowed)
			fail_msg("row %zu", i);
		if (rows[i].allowed && c.count == 1 && strcmp(c.items[0].tag, "issue") == 0)
			assert_false(caa_allows(&c, &nobody));
	}
}

/* Of an account that is not known yet nothing is concluded. */
static void test_no_account_yet(void **state)
{
	const struct caa_issuer ca = {"ca.example", NULL, "http-01"};
	struct caa c = {.count = 1,
			.items = {{false, "issue", "ca.example; accounturi=https://x"}}};

	(void)state;
	assert_true(caa_allows(&c, &ca));
	snprintf(c.items[0].value, sizeof(c.items[0].value), "other; accounturi=https://x");
	assert_false(caa_allows(&c, &ca));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_no_more_than_fit),
		cmocka_unit_test(test_who_may_issue),
		cmocka_unit_test(test_no_account_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
