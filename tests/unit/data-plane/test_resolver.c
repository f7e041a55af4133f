/* The resolver, with its look-ups and its channel, against a DNS server on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data-plane/sync/dns_lookup.h"
#include "data-plane/sync/resolver.h"
#include "tests/unit/lib/dns_server.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/loop_fixture.h"

struct bed {
	struct loop_fixture loop;
	struct entity_bed entities;
	struct addresses addresses;
	struct dns_server server;
	struct resolver *resolver;
	struct resolver_options options;
	struct addresses_reader *reader;
	unsigned news;
};

static struct bed *bed;

static void on_news(void *arg)
{
	((struct bed *)arg)->news++;
}

static int setup(void **state)
{
	static struct bed memory;
	struct err e = ERR_INIT;

	bed = &memory;
	memset(bed, 0, sizeof(*bed));
	*state = bed;
	fixture_init(&bed->loop);
	fixture_start(&bed->loop);
	entity_bed_init(&bed->entities, NULL);
	assert_int_equal(addresses_init(&bed->addresses, &e), 0);
	dns_server_start(&bed->server, &bed->loop.loop.uv);
	assert_int_equal(addresses_reader_create(&bed->reader, &bed->addresses, &bed->loop.loop,
						 on_news, bed, &e),
			 0);
	bed->options = (struct resolver_options){.loop = &bed->loop.loop,
						 .addresses = &bed->addresses,
						 .tables = bed->entities.tables,
						 .servers = bed->server.address,
						 .order = "LAST,SRV,A,AAAA",
						 .timeout_ms = 50,
						 .min_ms = 30,
						 .max_ms = 60,
						 .stale_ms = 3600000,
						 .error_ms = 30,
						 .not_found_ms = 30,
						 .max_names = 100};
	return 0;
}

static void start(void)
{
	struct err e = ERR_INIT;

	assert_int_equal(resolver_start(&bed->resolver, &bed->options, &e), 0);
}

static int teardown(void **state)
{
	(void)state;
	resolver_close(bed->resolver);
	dns_server_stop(&bed->server);
	addresses_reader_free(bed->reader);
	fixture_deinit(&bed->loop);
	addresses_deinit(&bed->addresses);
	entity_bed_deinit(&bed->entities);
	return 0;
}

static void ask(const char *name)
{
	struct err e = ERR_INIT;

	assert_int_equal(addresses_ask(bed->reader, str_from(name), &e), 0);
}

/* "1.2.3.4:0 1.2.3.5:0"; "-": nothing was found; "": not known yet. */
static const char *known(const char *name)
{
	static char text[512];
	const struct address_set *s = addresses_find(&bed->addresses, str_from(name));
	size_t n = 0;

	text[0] = '\0';
	if (s && s->count == 0)
		snprintf(text, sizeof(text), "-");
	for (size_t i = 0; s && i < s->count; i++) {
		char one[ADDR_TEXT_SIZE];

		addr_text(&s->items[i].addr, one, sizeof(one));
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", one);
	}
	rcu_leave();
	return text;
}

static bool is(const char *name, const char *want)
{
	return strcmp(known(name), want) == 0;
}

static struct resolver_facts facts(void)
{
	struct resolver_facts f;

	resolver_facts(bed->resolver, &f);
	return f;
}

static void set_a(const char *name, const char *a, const char *b)
{
	dns_server_set(&bed->server, name, DNS_A, 0, a, b);
}

static void test_names_of_tables(void **state)
{
	(void)state;
	start();
	set_a("svc.test", "192.0.2.1", "192.0.2.2");
	set_a("target.test", "192.0.2.3", NULL);
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 1, "host=svc.test");
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 2, "host=pool");
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 3, "host=10.0.0.1");
	entity_bed_put(&bed->entities, ENTITIES_UPSTREAM, 'u', "name=pool");
	entity_bed_put(&bed->entities, ENTITIES_TARGET, 4, "upstream=#u target='target.test:80");
	entity_bed_put(&bed->entities, ENTITIES_TARGET, 5, "upstream=#u target='[::1]:80");
	resolver_update(bed->resolver);
	run_until(&bed->loop,
		  is("svc.test", "192.0.2.1:0 192.0.2.2:0") && is("target.test", "192.0.2.3:0"));
	assert_int_equal(facts().names, 2);
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 1, NULL);
	resolver_update(bed->resolver);
	assert_string_equal(known("svc.test"), "");
	assert_int_equal(facts().names, 1);
}

/* A name's TTL is over: what DNS says now is taken; min and max hold. */
static void test_follows_changes(void **state)
{
	(void)state;
	start();
	set_a("a.test", "192.0.2.1", NULL);
	ask("a.test");
	run_until(&bed->loop, is("a.test", "192.0.2.1:0"));
	run_until(&bed->loop, bed->news == 1);
	dns_server_set(&bed->server, "a.test", DNS_A, 3600, "192.0.2.9", NULL);
	run_until(&bed->loop, is("a.test", "192.0.2.9:0"));
	set_a("a.test", "192.0.2.7", NULL);
	run_until(&bed->loop, is("a.test", "192.0.2.7:0"));
}

/* UP-14, F18: no such name, no record, SERVFAIL, silence: what was good stays, counted as stale. */
static void test_up14_last_good_stays(void **state)
{
	static const unsigned rcodes[] = {3, 0, 2, 5, DNS_REFUSED_SILENTLY};

	(void)state;
	start();
	for (size_t i = 0; i < array_len(rcodes); i++) {
		uint64_t before;

		bed->server.rcode = 0;
		set_a("a.test", "192.0.2.1", NULL);
		ask("a.test");
		run_until(&bed->loop, is("a.test", "192.0.2.1:0") && facts().stale == 0);
		before = facts().failures;
		bed->server.rcode = rcodes[i];
		set_a("a.test", NULL, NULL);
		run_until(&bed->loop, facts().failures >= before + 3);
		assert_string_equal(known("a.test"), "192.0.2.1:0");
		assert_int_equal(facts().stale, 1);
		assert_int_equal(facts().unresolved, 0);
	}
}

/* Servers that say for dns_stale_ttl that there is no such name are believed; silent ones never. */
static void test_gone_for_good(void **state)
{
	uint64_t before;

	(void)state;
	bed->options.stale_ms = 1;
	start();
	set_a("a.test", "192.0.2.1", NULL);
	ask("a.test");
	run_until(&bed->loop, is("a.test", "192.0.2.1:0"));
	bed->server.rcode = 2;
	before = facts().failures;
	run_until(&bed->loop, facts().failures >= before + 3);
	assert_string_equal(known("a.test"), "192.0.2.1:0");
	bed->server.rcode = 3;
	run_until(&bed->loop, is("a.test", "-"));
	bed->server.rcode = 0;
	run_until(&bed->loop, is("a.test", "192.0.2.1:0"));
}

static void test_never_known(void **state)
{
	static const unsigned rcodes[] = {3, 2, DNS_REFUSED_SILENTLY};
	static const char *const names[] = {"x1.test", "x2.test", "x3.test"};

	(void)state;
	start();
	for (size_t i = 0; i < array_len(rcodes); i++) {
		bed->server.rcode = rcodes[i];
		ask(names[i]);
		run_until(&bed->loop, is(names[i], "-"));
		run_until(&bed->loop, bed->news == i + 1);
		assert_int_equal(facts().unresolved, i + 1);
	}
}

static void test_order(void **state)
{
	static const struct {
		const char *order, *want;
	} rows[] = {
		{"A,AAAA", "192.0.2.1:0"},   {"AAAA,A", "[2001:db8::1]:0"},
		{"SRV,A", "192.0.2.8:8080"}, {"A,SRV", "192.0.2.1:0"},
		{"CNAME,A", "192.0.2.1:0"},
	};
	char name[32];

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		snprintf(name, sizeof(name), "name.test");
		bed->options.order = rows[i].order;
		start();
		set_a("name.test", "192.0.2.1", NULL);
		set_a("node.test", "192.0.2.8", NULL);
		dns_server_set(&bed->server, "name.test", DNS_AAAA, 0, "2001:db8::1", NULL);
		dns_server_set(&bed->server, "name.test", DNS_SRV, 0, "1 1 8080 node.test", NULL);
		ask(name);
		run_until(&bed->loop, is(name, rows[i].want));
		addresses_forget(&bed->addresses, str_from(name));
		resolver_close(bed->resolver);
		bed->resolver = NULL;
		fixture_spin(&bed->loop, 3);
	}
}

static void test_srv(void **state)
{
	const struct address_set *s;

	(void)state;
	start();
	dns_server_set(&bed->server, "srv.test", DNS_SRV, 0, "5 10 81 one.test", "5 0 82 two.test");
	set_a("one.test", "192.0.2.1", NULL);
	dns_server_set(&bed->server, "two.test", DNS_AAAA, 0, "2001:db8::2", NULL);
	ask("srv.test");
	run_until(&bed->loop, is("srv.test", "192.0.2.1:81 [2001:db8::2]:82"));
	s = addresses_find(&bed->addresses, STR("srv.test"));
	assert_int_equal(s->items[0].weight, 10);
	assert_int_equal(s->items[1].weight, 1);
	assert_true(str_eq(s->items[1].name, STR("two.test")));
	rcu_leave();
	/* Only the best priority; a target without address takes nothing from the others. */
	dns_server_set(&bed->server, "srv.test", DNS_SRV, 0, "5 1 81 gone.test", "1 1 83 one.test");
	run_until(&bed->loop, is("srv.test", "192.0.2.1:83"));
	/* All targets without: the last good ones stay. */
	dns_server_set(&bed->server, "srv.test", DNS_SRV, 0, "1 1 83 gone.test", NULL);
	run_until(&bed->loop, facts().stale == 1);
	assert_string_equal(known("srv.test"), "192.0.2.1:83");
}

static void test_limit_of_names(void **state)
{
	(void)state;
	bed->options.max_names = 1;
	start();
	set_a("a.test", "192.0.2.1", NULL);
	set_a("b.test", "192.0.2.2", NULL);
	ask("a.test");
	ask("b.test");
	run_until(&bed->loop, is("a.test", "192.0.2.1:0") && is("b.test", "-"));
	assert_int_equal(facts().refused, 1);
}

/* A name that found no room is asked for again once there is some. */
static void test_room_for_a_refused_name(void **state)
{
	(void)state;
	bed->options.max_names = 2;
	start();
	set_a("a.test", "192.0.2.1", NULL);
	set_a("b.test", "192.0.2.2", NULL);
	set_a("c.test", "192.0.2.3", NULL);
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 1, "host=a.test");
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 2, "host=b.test");
	resolver_update(bed->resolver);
	run_until(&bed->loop, is("a.test", "192.0.2.1:0") && is("b.test", "192.0.2.2:0"));
	ask("c.test");
	run_until(&bed->loop, is("c.test", "-"));
	/* Still none. */
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 2, "host=b.test port=81");
	resolver_update(bed->resolver);
	fixture_spin(&bed->loop, 3);
	assert_string_equal(known("c.test"), "-");
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 2, NULL);
	resolver_update(bed->resolver);
	run_until(&bed->loop, is("c.test", ""));
	ask("c.test");
	run_until(&bed->loop, is("c.test", "192.0.2.3:0"));
	assert_string_equal(known("a.test"), "192.0.2.1:0");
}

/* A revision that takes one away and brings another, at the limit. */
static void test_change_at_the_limit(void **state)
{
	(void)state;
	bed->options.max_names = 1;
	start();
	set_a("a.test", "192.0.2.1", NULL);
	set_a("b.test", "192.0.2.2", NULL);
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 1, "host=a.test");
	resolver_update(bed->resolver);
	run_until(&bed->loop, is("a.test", "192.0.2.1:0"));
	entity_bed_put(&bed->entities, ENTITIES_SERVICE, 1, "host=b.test");
	resolver_update(bed->resolver);
	run_until(&bed->loop, is("b.test", "192.0.2.2:0"));
	assert_string_equal(known("a.test"), "");
}

static void test_hosts_file(void **state)
{
	char path[] = "/tmp/cardea-hosts-XXXXXX";
	int fd = mkstemp(path);
	FILE *f;

	(void)state;
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	fputs("# names\n192.0.2.5 Box.test box # and more\n2001:db8::5\tbox.test\nbad line\n"
	      "999.1.1.1 nobody.test\n192.0.2.6",
	      f);
	fclose(f);
	bed->options.hosts_file = path;
	start();
	bed->server.rcode = 3;
	ask("box.test");
	ask("box");
	ask("nobody.test");
	run_until(&bed->loop, is("box.test", "192.0.2.5:0 [2001:db8::5]:0") &&
				      is("box", "192.0.2.5:0") && is("nobody.test", "-"));
	unlink(path);
}

static void test_bad_options(void **state)
{
	static const struct {
		const char *servers, *order, *key;
	} rows[] = {
		{"nonsense", "A", "dns_resolver"},     {"127.0.0.1", "MX", "dns_order"},
		{"127.0.0.1", "LAST", "dns_order"},    {"127.0.0.1", "", "dns_order"},
		{"127.0.0.1", "A,,AAAA", "dns_order"}, {"127.0.0.1", "SRV A", "dns_order"},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct err e = ERR_INIT;

		bed->options.servers = rows[i].servers;
		bed->options.order = rows[i].order;
		if (resolver_start(&bed->resolver, &bed->options, &e) == 0)
			fail_msg("%s %s is taken", rows[i].servers, rows[i].order);
		assert_non_null(strstr(e.message, rows[i].key));
	}
}

/* Closing with questions under way frees all of them. */
static void test_close_while_asking(void **state)
{
	(void)state;
	start();
	bed->server.rcode = DNS_REFUSED_SILENTLY;
	ask("a.test");
	ask("b.test");
	run_until(&bed->loop, bed->server.questions >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_names_of_tables),
		T(test_follows_changes),
		T(test_up14_last_good_stays),
		T(test_gone_for_good),
		T(test_never_known),
		T(test_order),
		T(test_srv),
		T(test_limit_of_names),
		T(test_room_for_a_refused_name),
		T(test_change_at_the_limit),
		T(test_hosts_file),
		T(test_bad_options),
		T(test_close_while_asking),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
