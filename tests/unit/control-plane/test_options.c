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
	c.admin_ssl_cert = cert;
	c.admin_ssl_cert_key = key;
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
	c.admin_ssl_cert_key = NULL;
	refuse(&c, "admin_ssl_cert_key");
	c.admin_ssl_cert = NULL;
	c.admin_ssl_cert_key = file;
	refuse(&c, "admin_ssl_cert and admin_ssl_cert_key go together");
	c = good();
	assert_int_equal(listen_parse(&c.admin_listen, STR("127.0.0.1:1, 0.0.0.0:8001"), &e), 0);
	refuse(&c, "0.0.0.0:8001");
	c.admin_allow_remote = true;
	assert_int_equal(cp_config_check(&c, &e), 0);
}

/* Who may listen beyond loopback. */
static void test_remote(void **state)
{
	static const struct {
		const char *listen;
		int auth;
		bool allow, fine;
	} rows[] = {
		{"127.0.0.1:1", ADMIN_AUTH_OFF, false, true},
		{"127.0.0.1:1 ssl", ADMIN_AUTH_OFF, false, true},
		{"0.0.0.0:1", ADMIN_AUTH_OFF, false, false},
		{"0.0.0.0:1 ssl", ADMIN_AUTH_OFF, false, false},
		{"0.0.0.0:1", ADMIN_AUTH_REQUIRED, false, false},
		{"0.0.0.0:1 ssl", ADMIN_AUTH_REQUIRED, false, true},
		{"[::]:1 ssl http2", ADMIN_AUTH_REQUIRED, false, true},
		{"0.0.0.0:1 ssl, 192.0.2.1:2", ADMIN_AUTH_REQUIRED, false, false},
		{"127.0.0.1:1, 0.0.0.0:2 ssl", ADMIN_AUTH_REQUIRED, false, true},
		{"0.0.0.0:1", ADMIN_AUTH_OFF, true, true},
		{"off", ADMIN_AUTH_OFF, false, true},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct cp_config c = good();
		struct err e = ERR_INIT;

		assert_int_equal(listen_parse(&c.admin_listen, str_from(rows[i].listen), &e), 0);
		c.admin_auth = rows[i].auth;
		c.admin_allow_remote = rows[i].allow;
		if (cp_config_check(&c, &e) != (rows[i].fine ? 0 : -1))
			fail_msg("%s: %s", rows[i].listen, e.message);
		if (!rows[i].fine)
			refuse(&c, "is not a loopback address: give it ssl and set admin_auth = "
				   "required, or set admin_allow_remote = on on a private network");
	}
}

static void test_clients(void **state)
{
	static char roles[] = "admin:cn=a", wrong[] = "admin", file[] = "/f";
	struct cp_config c = good();
	struct err e = ERR_INIT;

	(void)state;
	c.admin_client_roles = roles;
	refuse(&c, "admin_client_roles is set, so admin_client_ca_cert: must be set");
	c.admin_client_ca_cert = file;
	assert_int_equal(cp_config_check(&c, &e), 0);
	c.admin_client_roles = wrong;
	refuse(&c, "admin_client_roles: \"admin\": expected ROLE:NAME");
	c = good();
	c.admin_client_verify = ADMIN_CLIENT_REQUIRED;
	refuse(&c, "admin_client_verify is required, so admin_client_ca_cert: must be set");
	c = good();
	c.admin_client_ca_cert = file;
	assert_int_equal(listen_parse(&c.admin_listen, STR("127.0.0.1:1"), &e), 0);
	refuse(&c, "admin_client_ca_cert: no address of admin_listen has ssl");
}

static void test_no_database(void **state)
{
	static char file[] = "/f";
	struct cp_config c = good();
	struct err e = ERR_INIT;

	(void)state;
	c.database = CP_DATABASE_OFF;
	c.admin_auth = ADMIN_AUTH_REQUIRED;
	refuse(&c, "without a database there are no tokens, so with admin_auth = required "
		   "admin_client_ca_cert: must be set");
	c.admin_client_ca_cert = file;
	assert_int_equal(cp_config_check(&c, &e), 0);
}

static void test_certificates_for_ssl(void **state)
{
	static const struct {
		const char *admin, *status, *want;
	} rows[] = {
		{"127.0.0.1:1", "127.0.0.1:2", NULL},
		{"127.0.0.1:1, 127.0.0.1:3 ssl", "127.0.0.1:2",
		 "admin_listen: an address with ssl needs admin_ssl_cert and admin_ssl_cert_key"},
		{"127.0.0.1:1", "127.0.0.1:2 ssl",
		 "status_listen: an address with ssl needs admin_ssl_cert and admin_ssl_cert_key"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct cp_config c = good();
		struct err e = ERR_INIT;

		c.admin_ssl_cert = c.admin_ssl_cert_key = NULL;
		assert_int_equal(listen_parse(&c.admin_listen, str_from(rows[i].admin), &e), 0);
		assert_int_equal(listen_parse(&c.status_listen, str_from(rows[i].status), &e), 0);
		if (rows[i].want)
			refuse(&c, rows[i].want);
		else
			assert_int_equal(cp_config_check(&c, &e), 0);
	}
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

static void test_on_demand(void **state)
{
	static const struct {
		const char *domains, *ask, *limits;
		const char *says; /* NULL: fine */
	} rows[] = {
		{"*.a.example b.example", NULL, NULL, NULL},
		{NULL, "http://127.0.0.1:9000/", "client=1/1h", NULL},
		{"*.", NULL, NULL, "acme_on_demand_domains"},
		{"a.*", NULL, NULL, "acme_on_demand_domains"},
		{NULL, "ask", NULL, "acme_on_demand_ask"},
		{NULL, "file:///ask", NULL, "acme_on_demand_ask"},
		{NULL, NULL, "client", "acme_on_demand_limits"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct cp_config c = good();
		struct err e = ERR_INIT;

		c.acme_on_demand_domains = (char *)(uintptr_t)rows[i].domains;
		c.acme_on_demand_ask = (char *)(uintptr_t)rows[i].ask;
		c.acme_on_demand_limits = (char *)(uintptr_t)rows[i].limits;
		if (rows[i].says)
			refuse(&c, rows[i].says);
		else if (cp_config_check(&c, &e) != 0)
			fail_msg("row %zu: %s", i, e.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_needed),	    cmocka_unit_test(test_pairs_and_addresses),
		cmocka_unit_test(test_remote),	    cmocka_unit_test(test_clients),
		cmocka_unit_test(test_no_database), cmocka_unit_test(test_certificates_for_ssl),
		cmocka_unit_test(test_conninfo),    cmocka_unit_test(test_on_demand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
