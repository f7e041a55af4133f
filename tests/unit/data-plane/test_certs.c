/* tables/certs: names, their order, what is shared, what is freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "data-plane/tables/tables.h"

static struct tables *t;

static int setup(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	return tables_create(&t, NULL, &e);
}

static int teardown(void **state)
{
	(void)state;
	tables_free(t);
	return 0;
}

static void id_of(unsigned n, unsigned char id[CERTS_ID_SIZE])
{
	memset(id, (int)n, CERTS_ID_SIZE);
}

static const struct str shared_chain[2] = {{"intermediate one", 16}, {"intermediate two", 16}};

static void put(unsigned id, const char *leaf)
{
	const struct cert_source s = {str_from(leaf), shared_chain, 2, STR("key bytes"), STR_NONE};
	unsigned char bytes[CERTS_ID_SIZE];
	struct err e = ERR_INIT;

	id_of(id, bytes);
	if (certs_put(&t->certs, &t->txn, bytes, &s, 1, &e) != 0)
		fail_msg("%s", e.message);
}

static void put_sni(unsigned id, const char *name, unsigned certificate)
{
	unsigned char a[CERTS_ID_SIZE], b[CERTS_ID_SIZE];
	struct err e = ERR_INIT;

	id_of(id, a);
	id_of(certificate, b);
	if (certs_put_sni(&t->certs, &t->txn, a, str_from(name), b, 0, &e) != 0)
		fail_msg("%s", e.message);
}

static void commit(void)
{
	struct tables_culprit c;
	struct err e = ERR_INIT;

	if (tables_commit(t, &c, &e) != 0)
		fail_msg("%s", e.message);
}

/* The leaf that a name gets in a generation; "" for none. */
static const char *leaf_at(uint64_t generation, const char *name)
{
	static char leaf[64];
	const struct cert *c;

	rcu_enter();
	c = certs_find(&t->certs, generation, str_from(name));
	snprintf(leaf, sizeof(leaf), "%.*s", c ? (int)c->parts[0].leaf_len : 0,
		 c ? (const char *)c->parts[0].leaf : "");
	rcu_leave();
	return leaf;
}

static const char *leaf_of(const char *name)
{
	return leaf_at(atomic_load(&t->generation), name);
}

static void test_order(void **state)
{
	static const struct {
		const char *name, *want;
	} rows[] = {
		{"a.example.com", "exact"}, {"b.example.com", "left"}, {"x.b.example.com", "star"},
		{"example.com", "star"},    {"example.org", "right"},  {"example.com.au", "star"},
		{"localhost", "star"},	    {"*.example.com", "left"},
	};

	(void)state;
	tables_begin(t, true);
	put(1, "exact");
	put(2, "left");
	put(3, "right");
	put(4, "star");
	put_sni(11, "a.example.com", 1);
	put_sni(12, "*.example.com", 2);
	put_sni(13, "example.*", 3);
	commit();
	assert_string_equal(leaf_of("example.com"), "right");
	assert_string_equal(leaf_of("localhost"), "");
	assert_string_equal(leaf_of("x.b.example.com"), "");
	tables_begin(t, false);
	put_sni(14, "*", 4);
	put_sni(13, "example.org", 3);
	commit();
	for (size_t i = 0; i < array_len(rows); i++)
		assert_string_equal(leaf_of(rows[i].name), rows[i].want);
}

static void test_normalise(void **state)
{
	static const struct {
		const char *in, *want; /* NULL: not a host name */
	} rows[] = {
		{"a.b", "a.b"},
		{"A.B.", "a.b"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"a_b.c", "a_b.c"},
		{"1.2.3.x", "1.2.3.x"},
		{"", NULL},
		{".", NULL},
		{".a", NULL},
		{"a..b", NULL},
		{"a b", NULL},
		{"*.a", NULL},
		{"a.*", NULL},
		{"1.2.3.4", NULL},
		{"::1", NULL},
		{"[::1]", NULL},
		{"a/b", NULL},
		{"b\xc3\xbc", NULL},
		{"a\x01", NULL},
		{"a..", NULL},
	};
	char out[CERTS_NAME_MAX + 1], long_name[CERTS_NAME_MAX + 2];
	size_t len;

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		bool ok = certs_normalise(str_from(rows[i].in), out, &len);

		assert_int_equal(ok, rows[i].want != NULL);
		if (ok)
			assert_string_equal(out, rows[i].want);
	}
	assert_false(certs_normalise((struct str){"a\0b", 3}, out, &len));
	memset(long_name, 'a', sizeof(long_name));
	assert_true(certs_normalise((struct str){long_name, CERTS_NAME_MAX}, out, &len));
	assert_false(certs_normalise((struct str){long_name, CERTS_NAME_MAX + 1}, out, &len));
}

static void test_addresses(void **state)
{
	static const struct {
		const char *address, *want;
	} rows[] = {
		{"192.0.2.1", "one"}, {"::ffff:192.0.2.1", "one"}, {"2001:db8::1", "two"},
		{"192.0.2.2", NULL},  {"2001:db8::2", NULL},	   {"127.0.0.1", NULL},
	};
	static const char *const bad[] = {"192.0.2",	   "192.0.2.01", "2001:DB8::1",
					  "2001:db8:0::1", "[::1]",	 "::ffff:192.0.2.1.",
					  "*.192.0.2.1",   "192.0.2.*",	 "::1%lo",
					  "192.0.2.1:443"};
	unsigned char id[CERTS_ID_SIZE] = {9};
	char text[ADDR_TEXT_SIZE];
	uint16_t minimum;

	(void)state;
	tables_begin(t, true);
	put(1, "one");
	put(2, "two");
	put_sni(11, "192.0.2.1", 1);
	put_sni(12, "2001:db8::1", 2);
	put_sni(13, "*", 2);
	commit();
	for (size_t i = 0; i < array_len(rows); i++) {
		const struct cert *cert;
		struct addr a;

		assert_int_equal(addr_parse_ip(&a, str_from(rows[i].address)), 0);
		rcu_enter();
		cert = certs_find_address(&t->certs, atomic_load(&t->generation), &a, text,
					  &minimum);
		if ((cert != NULL) != (rows[i].want != NULL))
			fail_msg("%s", rows[i].address);
		if (cert)
			assert_memory_equal(cert->parts[0].leaf, rows[i].want, 3);
		rcu_leave();
	}
	tables_begin(t, false);
	for (size_t i = 0; i < array_len(bad); i++)
		if (certs_put_sni(&t->certs, &t->txn, id, str_from(bad[i]), id, 0, NULL) == 0)
			fail_msg("accepted: %s", bad[i]);
	tables_abort(t);
}

/* A reader that took a generation sees that one, whatever is committed meanwhile. */
static void test_generations(void **state)
{
	uint64_t before, first, second;

	(void)state;
	before = tables_enter(t); /* stays online: nothing it may see is freed */
	tables_begin(t, true);
	put(1, "one");
	put_sni(11, "a.example.com", 1);
	commit();
	first = tables_enter(t);
	tables_begin(t, false);
	put(1, "two");
	put_sni(12, "b.example.com", 1);
	commit();
	second = tables_enter(t);
	tables_begin(t, true);
	commit();
	tables_reap(t);
	assert_null(certs_find(&t->certs, before, STR("a.example.com")));
	assert_non_null(certs_find(&t->certs, first, STR("a.example.com")));
	assert_null(certs_find(&t->certs, first, STR("b.example.com")));
	assert_memory_equal(certs_find(&t->certs, first, STR("a.example.com"))->parts[0].leaf,
			    "one", 3);
	assert_memory_equal(certs_find(&t->certs, second, STR("b.example.com"))->parts[0].leaf,
			    "two", 3);
	assert_null(certs_find(&t->certs, second + 1, STR("a.example.com")));
	rcu_leave();
}

/* What was replaced or removed is given back, keys and chains too. */
static void test_memory(void **state)
{
	(void)state;
	tables_begin(t, true);
	for (unsigned i = 1; i <= 100; i++) {
		char name[64];

		put(i, "leaf");
		snprintf(name, sizeof(name), "h%u.example.com", i);
		put_sni(100 + i, name, i);
	}
	commit();
	assert_int_equal(t->certs.chains.count, 1);
	assert_int_equal(t->certs.keys.used, 100 * 16);
	assert_int_equal(atomic_load(&t->certs.names.count), 100);
	for (int round = 0; round < 3; round++) {
		tables_begin(t, false);
		put(1, round % 2 ? "leaf 1" : "leaf 2");
		commit();
	}
	tables_begin(t, false);
	put(2, "never committed");
	put(200, "never committed");
	tables_abort(t);
	while (tables_reap(t))
		rcu_barrier();
	assert_int_equal(t->certs.keys.used, 100 * 16);
	assert_string_equal(leaf_of("h2.example.com"), "leaf");
	tables_begin(t, true);
	commit();
	while (tables_reap(t))
		rcu_barrier();
	assert_int_equal(t->certs.keys.used, 0);
	assert_int_equal(t->certs.chains.count, 0);
	assert_int_equal(atomic_load(&t->certs.certs.count), 0);
	assert_int_equal(atomic_load(&t->certs.names.count), 0);
}

/* A new one is a new version of the certificate, the same one is none. */
static void test_staples(void **state)
{
	static const char *const staples[] = {"", "one", "one", "two", ""};
	struct cert_source s = {STR("leaf"), NULL, 0, STR("key"), STR_NONE};
	unsigned char id[CERTS_ID_SIZE];
	uint64_t before = 0;

	(void)state;
	id_of(1, id);
	for (size_t i = 0; i < array_len(staples); i++) {
		const struct cert *c;

		s.staple = str_from(staples[i]);
		tables_begin(t, false);
		assert_int_equal(certs_put(&t->certs, &t->txn, id, &s, 1, NULL), 0);
		commit();
		c = certs_by_id(&t->certs, tables_enter(t), id);
		assert_non_null(c);
		assert_true(str_eq(
			(struct str){(const char *)c->parts[0].staple, c->parts[0].staple_len},
			s.staple));
		assert_memory_equal(c->parts[0].leaf, "leaf", 4);
		assert_int_equal(c->serial == before, i == 2);
		before = c->serial;
		rcu_leave();
	}
}

static void test_refused(void **state)
{
	static char big[CERTS_DER_MAX + 1];
	struct str many[CERTS_CHAIN_MAX + 1];
	struct cert_source good = {STR("leaf"), NULL, 0, STR("key"), STR_NONE};
	struct cert_source two[3] = {good, good, good};
	unsigned char id[CERTS_ID_SIZE];
	struct err e = ERR_INIT;

	(void)state;
	id_of(1, id);
	for (size_t i = 0; i < array_len(many); i++)
		many[i] = STR("x");
	tables_begin(t, false);
	assert_int_equal(certs_put(&t->certs, &t->txn, id, &good, 0, &e), -1);
	assert_int_equal(certs_put(&t->certs, &t->txn, id, two, 3, &e), -1);
	good.leaf = (struct str){big, sizeof(big)};
	assert_int_equal(certs_put(&t->certs, &t->txn, id, &good, 1, &e), -1);
	good.leaf = STR("");
	assert_int_equal(certs_put(&t->certs, &t->txn, id, &good, 1, &e), -1);
	good.leaf = STR("leaf");
	good.key = (struct str){big, sizeof(big)};
	assert_int_equal(certs_put(&t->certs, &t->txn, id, &good, 1, &e), -1);
	good.key = STR("key");
	good.staple = (struct str){big, CERTS_STAPLE_MAX + 1};
	assert_int_equal(certs_put(&t->certs, &t->txn, id, &good, 1, &e), -1);
	good.staple = STR_NONE;
	good.chain = many;
	good.chain_count = CERTS_CHAIN_MAX + 1;
	assert_int_equal(certs_put(&t->certs, &t->txn, id, &good, 1, &e), -1);
	tables_abort(t);
	while (tables_reap(t))
		rcu_barrier();
	assert_int_equal(t->certs.keys.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test(test_normalise),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_generations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_staples, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
