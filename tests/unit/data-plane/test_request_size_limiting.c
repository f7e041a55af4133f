/* request-size-limiting: which bodies are let through, and what the others get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"
#include "tests/unit/lib/fake_request.h"
#include "tests/unit/lib/testentity.h"

#define TOO_LARGE "Request size limit exceeded"
#define NO_LENGTH "A valid Content-Length header is required"

enum { CHUNKED = -1, NO_BODY = -2 };

static const struct {
	const char *config;
	int64_t length; /* or CHUNKED, NO_BODY */
	bool expects;	/* 100-continue */
	uint64_t came;	/* of a body without a length, before the plugin ran */
	unsigned status;
	const char *message;
	uint64_t limit; /* that the request is given */
} rows[] = {
	{"", 128 << 20, false, 0, 0, NULL, 0},
	{"", (128 << 20) + 1, false, 0, 413, TOO_LARGE, 0},
	{"", (128 << 20) + 1, true, 0, 417, TOO_LARGE, 0},
	{"", CHUNKED, false, 0, 0, NULL, 128 << 20},
	{"", CHUNKED, true, 0, 0, NULL, 128 << 20},
	{"", NO_BODY, false, 0, 0, NULL, 0},
	{"allowed_payload_size=%3 size_unit=kilobytes", 3072, false, 0, 0, NULL, 0},
	{"allowed_payload_size=%3 size_unit=kilobytes", 3073, false, 0, 413, TOO_LARGE, 0},
	{"allowed_payload_size=%3 size_unit=megabytes", 3 << 20, false, 0, 0, NULL, 0},
	{"allowed_payload_size=%3 size_unit=bytes", 3, false, 0, 0, NULL, 0},
	{"allowed_payload_size=%3 size_unit=bytes", 4, false, 0, 413, TOO_LARGE, 0},
	{"allowed_payload_size=%3 size_unit=bytes", 0, false, 0, 0, NULL, 0},
	{"allowed_payload_size=%3 size_unit=bytes", INT64_MAX, false, 0, 413, TOO_LARGE, 0},
	{"allowed_payload_size=%3 size_unit=bytes", CHUNKED, false, 3, 0, NULL, 3},
	{"allowed_payload_size=%3 size_unit=bytes", CHUNKED, false, 4, 413, TOO_LARGE, 3},
	{"allowed_payload_size=%2147483647", INT64_MAX, false, 0, 413, TOO_LARGE, 0},
	{"allowed_payload_size=%2147483647", 1LL << 50, false, 0, 0, NULL, 0},
	{"require_content_length=!", CHUNKED, false, 0, 411, NO_LENGTH, 0},
	{"require_content_length=!", CHUNKED, true, 0, 411, NO_LENGTH, 0},
	{"require_content_length=!", NO_BODY, false, 0, 0, NULL, 0},
	{"require_content_length=!", 5, false, 0, 0, NULL, 0},
	{"require_content_length=!no", CHUNKED, false, 0, 0, NULL, 128 << 20},
};

static int configure(struct request *r, void *config, const char *fields, struct err *e)
{
	return plugin_request_size_limiting.kind.configure(
		config, fields_of(testentity_record(&r->arena, fields)), &r->arena, e);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		uint64_t config[8] = {0};
		struct request r;
		enum plugin_verdict got;

		assert_true(plugin_request_size_limiting.kind.config_size <= sizeof(config));
		fake_request_init(&r, NULL);
		r.head.has_body = rows[i].length != NO_BODY;
		r.head.content_length = rows[i].length == NO_BODY ? -1 : rows[i].length;
		r.head.expect_continue = rows[i].expects;
		r.body_came = rows[i].came;
		assert_int_equal(configure(&r, config, rows[i].config, NULL), 0);
		got = plugin_request_size_limiting.access(&r, config);
		if (r.status != rows[i].status || r.body_limit != rows[i].limit)
			fail_msg("row %zu: %u, limit %llu", i, r.status,
				 (unsigned long long)r.body_limit);
		assert_int_equal(got, rows[i].status ? PLUGIN_ANSWERED : PLUGIN_NEXT);
		if (rows[i].message)
			assert_non_null(strstr(r.body.ptr, rows[i].message));
		fake_request_deinit(&r);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"allowed_payload_size=%0",
		"allowed_payload_size=%-1",
		"allowed_payload_size=%2147483648",
		"allowed_payload_size=%9223372036854775807",
		"size_unit=gigabytes",
		"size_unit=Bytes",
		"size_unit=",
	};
	uint64_t config[8] = {0};
	struct request r;

	(void)state;
	fake_request_init(&r, NULL);
	for (size_t i = 0; i < array_len(bad); i++) {
		struct err e = ERR_INIT;

		memset(config, 0, sizeof(config));
		if (configure(&r, config, bad[i], &e) == 0 || e.kind != ERR_INVALID)
			fail_msg("%s", bad[i]);
	}
	fake_request_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
