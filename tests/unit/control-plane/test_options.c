/* The configuration of cardea-cp: what is refused before anything starts, and the connection
 * string. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>
#include <string.h>

#include "control-plane/options.h"

/* A configuration that is complete; each row breaks one thing. */
static struct cp_config good(void)
{
	static char keyring[] = "/k", cert[] = "/c", key[] = "/p", ca[] = "/a";
	struct cp_config c = {0};
	struct err e = ERR_INIT;

	c.keyring_file = keyring;
	c.cluster_cert = cert;
	c.cluster_cert_key = key;
	c.cluster_ca_cert = ca;
	assert_int_equal(listen_parse(&c.admin_listen, STR("127.0.0.1:8001, [::1]:8444 ssl"), &e),
			 0);
	return c;
}

static void refuse(const struct cp_config *c, const char *text)
{
	struct err e = ERR_INIT;

	assert_int_equal(cp_config_check(c, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	if (!strstr(e.message, text))
		fail_msg("\"%s\" does not say \"%s\"", e.message, text);
}

static void test_needed(void **state)
{
	const char *const nothing = NULL;
	static const struct {
		size_t offset;
		const char *name;
	} needed[] = {
		{offsetof(struct cp_config, keyring_file), "keyring_file"},
		{offsetof(struct cp_config, cluster_cert), "cluster_cert"},
		{offsetof(struct cp_config, cluster_cert_key), "cluster_cert_key"},
		{offsetof(struct cp_config, cluster_ca_cert), "cluster_ca_cert"},
	};
	struct cp_config c = good();
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(cp_config_check(&c, &e), 0);
	for (size_t i = 0; i < array_len(needed); i++) {
		c = good();
		memcpy((char *)&c + needed[i].offset, &nothing, sizeof(nothing));
		refuse(&c, needed[i].name);
	}
}

static void test_pairs_and_addresses(void **state)
{
	static char file[] = "/f";
	struct cp_config c = good();
	struct err e = ERR_INIT;

	(void)state;
	c.admin_ssl_cert = file;
	refuse(&c, "admin_ssl_cert_key");
	c = good();
	assert_int_equal(listen_parse(&c.admin_listen, STR("127.0.0.1:1, 0.0.0.0:8001"), &e), 0);
	refuse(&c, "0.0.0.0:8001");
	c.admin_allow_remote = true;
	assert_int_equal(cp_config_check(&c, &e), 0);
}

static void test_conninfo(void **state)
{
	static char host[] = "db", user[] = "u's", password[] = "a\\b", database[] = "d";
	static char dsn[] = "postgres://elsewhere/x";
	struct cp_config c = {.pg_host = host,
			      .pg_port = 5433,
			      .pg_user = user,
			      .pg_password = password,
			      .pg_database = database};
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(cp_conninfo(&c, &out, &e), 0);
	assert_string_equal(out.data, "host='db' port='5433' user='u\\'s' password='a\\\\b' "
				      "dbname='d' ");
	buf_clear(&out);
	c.pg_dsn = dsn;
	assert_int_equal(cp_conninfo(&c, &out, &e), 0);
	assert_string_equal(out.data, dsn);
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_needed),
		cmocka_unit_test(test_pairs_and_addresses),
		cmocka_unit_test(test_conninfo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
