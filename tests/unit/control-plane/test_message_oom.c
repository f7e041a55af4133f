/* ACME messages and signatures while the n-th allocation fails: an error, and nothing leaked. */
#include "control-plane/acme/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/pki/key.h"
#include "control-plane/acme/jws.h"
#include "tests/unit/lib/oom.h"

#define DIRECTORY                                                                                  \
	"{\"newNonce\":\"https://ca/n\",\"newAccount\":\"https://ca/a\","                          \
	"\"newOrder\":\"https://ca/o\"}"
#define ORDER                                                                                      \
	"{\"status\":\"pending\",\"identifiers\":[{\"type\":\"dns\",\"value\":\"a.example\"}],"    \
	"\"authorizations\":[\"https://ca/z\"],\"finalize\":\"https://ca/f\"}"
#define AUTHORIZATION                                                                              \
	"{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":\"a.example\"},"       \
	"\"challenges\":[{\"type\":\"http-01\",\"status\":\"pending\",\"url\":\"https://ca/c\","   \
	"\"token\":\"DGyRejmCefe7v4NfDGDKfA\"}]}"

static EVP_PKEY *key;

static int make_key(void **state)
{
	(void)state;
	return key_generate(&key, KEY_EC_P256, NULL);
}

static int drop_key(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	return 0;
}

static int new_account(struct buf *out, struct err *e)
{
	return message_new_account(out, "a@a.example", NULL, e);
}

static int new_order(struct buf *out, struct err *e)
{
	return message_new_order(out, &(struct message_order){.names = STR("a.example")}, e);
}

static int finalize(struct buf *out, struct err *e)
{
	return message_finalize(out, STR("csr"), e);
}

static int jwk(struct buf *out, struct err *e)
{
	return jws_jwk(out, key, e);
}

static int with_jwk(struct buf *out, struct err *e)
{
	const struct jws_header h = {.url = "https://ca/a", .nonce = "n"};

	return jws_sign(out, &h, key, STR("{}"), e);
}

static int with_kid(struct buf *out, struct err *e)
{
	const struct jws_header h = {.url = "https://ca/o", .nonce = "n", .kid = "https://ca/a/1"};

	return jws_sign(out, &h, key, STR_NONE, e);
}

static int directory(struct buf *out, struct err *e)
{
	struct acme_directory d;

	(void)out;
	return message_read_directory(&d, STR(DIRECTORY), e);
}

static int order(struct buf *out, struct err *e)
{
	struct acme_order_doc d;
	int rc = message_read_order(&d, STR(ORDER), e);

	(void)out;
	if (rc == 0)
		json_decref(d.authorizations);
	return rc;
}

static int authorization(struct buf *out, struct err *e)
{
	struct acme_authorization_doc d;

	(void)out;
	return message_read_authorization(&d, STR(AUTHORIZATION), e);
}

static const struct row {
	const char *name;
	int (*call)(struct buf *out, struct err *e);
} rows[] = {
	{"new account", new_account},	  {"new order", new_order},
	{"finalize", finalize},		  {"jwk", jwk},
	{"with jwk", with_jwk},		  {"with kid", with_kid},
	{"directory", directory},	  {"order", order},
	{"authorization", authorization},
};

static void call(void *arg)
{
	const struct row *r = arg;
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	int rc = r->call(&out, &e);

	if (rc < 0 && e.kind != ERR_MEMORY)
		fail_msg("%s: %s", r->name, e.message);
	buf_deinit(&out);
}

static void test_every_allocation(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct row r = rows[i];
		struct buf out = BUF_INIT;
		struct err e = ERR_INIT;

		if (r.call(&out, &e) < 0)
			fail_msg("%s: %s", r.name, e.message);
		buf_deinit(&out);
		oom_each(call, &r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation),
	};

	return cmocka_run_group_tests(tests, make_key, drop_key);
}
