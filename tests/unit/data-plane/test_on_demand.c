/* sync/on_demand: what is asked of a control plane and when, and what its answers do. */
#include "data-plane/sync/on_demand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/loop_fixture.h"
#include "tests/unit/lib/oom.h"
#include "tests/unit/lib/testcert.h"
#include "tests/unit/lib/testchange.h"
#include "tests/unit/lib/wire.h"

static struct {
	struct loop_fixture f;
	struct entity_bed tables;
	struct on_demand d;
	struct testca ca;
	char sent[512]; /* "name client|name client" */
	unsigned wakes, events[WISH_EVENTS];
	bool no_stream;
} bed;

static bool send_message(struct buf *message, void *arg)
{
	const unsigned char *p = (const unsigned char *)message->data;
	const char *host = "", *client = "";
	size_t at = 1, n, host_len, client_len, used = strlen(bed.sent);

	(void)arg;
	if (bed.no_stream)
		return false;
	assert_int_equal(p[0] >> 3, 5);
	n = wire_varint(p, &at);
	host_len = wire_field(p + at, n, 1, &host);
	client_len = wire_field(p + at, n, 2, &client);
	snprintf(bed.sent + used, sizeof(bed.sent) - used, "%s%.*s %.*s", used ? "|" : "",
		 (int)host_len, host, (int)client_len, client);
	buf_deinit(message);
	return true;
}

static void wake(void *arg)
{
	(void)arg;
	bed.wakes++;
}

static void count(enum wish_event event, void *arg)
{
	(void)arg;
	bed.events[event]++;
}

static void begin(size_t names_max)
{
	const struct on_demand_options o = {
		.loop = &bed.f.loop,
		.tables = bed.tables.tables,
		.names_max = names_max,
		.send = send_message,
		.wake = wake,
		.count = count,
	};

	assert_int_equal(on_demand_init(&bed.d, &o, NULL), 0);
}

static int setup(void **state)
{
	(void)state;
	log_setup("test", LOG_CRIT, LOG_FORMAT_LOGFMT);
	memset(&bed, 0, sizeof(bed));
	fixture_init(&bed.f);
	entity_bed_init(&bed.tables, NULL);
	testca_init(&bed.ca, "ca");
	begin(4);
	on_demand_update(&bed.d, true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	clock_fake_end();
	on_demand_close(&bed.d);
	fixture_spin(&bed.f, 2);
	on_demand_deinit(&bed.d);
	testca_deinit(&bed.ca);
	entity_bed_deinit(&bed.tables);
	fixture_deinit(&bed.f);
	return 0;
}

/* A worker's wish, taken. */
static void wish(const char *name, const char *client)
{
	struct addr a;

	assert_int_equal(addr_parse_ip(&a, str_from(client)), 0);
	assert_true(wish_post(&bed.d.board, str_from(name), &a));
	fixture_spin(&bed.f, 2);
}

static void answer(const char *name, enum want_verdict verdict, uint32_t seconds)
{
	const struct want_answer a = {
		.host = str_from(name), .verdict = verdict, .seconds = seconds, .reason = STR("x")};

	on_demand_answer(&bed.d, &a);
}

static enum wish_mark state_of(const char *key)
{
	enum wish_mark s = wish_find(&bed.d.board, str_from(key), clock_mono_ns()).mark;

	rcu_leave();
	return s;
}

static int gate(void)
{
	return atomic_load(&bed.d.board.gate);
}

static void put_name(const char *name)
{
	const struct testcert_options o = {.name = name};
	struct buf leaf_der = BUF_INIT, key_der = BUF_INIT;
	struct tables *t = bed.tables.tables;
	struct cert_source s = {0};
	unsigned char bytes[16];
	X509 *leaf;
	EVP_PKEY *key;

	testcert_issue(&bed.ca, &o, &leaf, &key);
	s.leaf = testder_cert(&leaf_der, leaf);
	s.key = testder_key(&key_der, key);
	memset(bytes, name[0], sizeof(bytes));
	tables_begin(t, false);
	assert_int_equal(certs_put(&t->certs, &t->txn, bytes, &s, 1, NULL), 0);
	assert_int_equal(certs_put_sni(&t->certs, &t->txn, bytes, str_from(name), bytes, 0, NULL),
			 0);
	entity_bed_commit(&bed.tables);
	X509_free(leaf);
	EVP_PKEY_free(key);
	buf_deinit(&leaf_der);
	buf_deinit(&key_der);
}

static void test_asked_once(void **state)
{
	(void)state;
	wish("a.example", "192.0.2.1");
	wish("a.example", "192.0.2.2");
	wish("b.example", "2001:db8::1");
	assert_string_equal(bed.sent, "a.example 192.0.2.1|b.example 2001:db8::1");
	assert_int_equal(state_of("a.example"), WISH_ASKED);
	assert_int_equal(on_demand_asked(&bed.d), 2);
	assert_int_equal(bed.events[WISH_EVENT_ASKED], 2);
	assert_int_equal(bed.wakes, 0);
}

static void test_served(void **state)
{
	(void)state;
	wish("a.example", "192.0.2.1");
	answer("a.example", WANT_COMES, 60);
	on_demand_update(&bed.d, true);
	assert_int_equal(state_of("a.example"), WISH_ASKED);
	put_name("a.example");
	on_demand_update(&bed.d, true);
	assert_int_equal(state_of("a.example"), WISH_NONE);
	assert_int_equal(bed.wakes, 1);
	assert_int_equal(bed.events[WISH_EVENT_SERVED], 1);
	assert_int_equal(on_demand_asked(&bed.d), 0);
	/* Who looked before it came. */
	wish("a.example", "192.0.2.1");
	assert_int_equal(bed.wakes, 2);
	assert_string_equal(bed.sent, "a.example 192.0.2.1");
}

static void test_refused(void **state)
{
	(void)state;
	clock_fake(1000000000, 0);
	wish("a.example", "192.0.2.1");
	answer("a.example", WANT_REFUSED, 10);
	assert_int_equal(state_of("a.example"), WISH_REFUSED);
	assert_int_equal(bed.wakes, 1);
	wish("a.example", "192.0.2.1");
	assert_int_equal(bed.wakes, 2); /* it did not know yet */
	assert_string_equal(bed.sent, "a.example 192.0.2.1");
	clock_fake_advance(10 * 1000000000ULL);
	assert_int_equal(state_of("a.example"), WISH_NONE);
	wish("a.example", "192.0.2.1");
	assert_string_equal(bed.sent, "a.example 192.0.2.1|a.example 192.0.2.1");
}

static void test_a_client_is_refused(void **state)
{
	(void)state;
	wish("a.example", "2001:db8::1");
	answer("a.example", WANT_CLIENT_REFUSED, 10);
	assert_int_equal(state_of("a.example"), WISH_NONE);
	assert_int_equal(state_of("2001:db8::/64"), WISH_REFUSED);
	wish("b.example", "2001:db8::2");
	assert_int_equal(bed.wakes, 2);
	wish("b.example", "2001:db8:0:1::2");
	assert_string_equal(bed.sent, "a.example 2001:db8::1|b.example 2001:db8:0:1::2");
	assert_int_equal(bed.events[WISH_EVENT_CLIENT_REFUSED], 1);
}

static void test_answers_to_nothing(void **state)
{
	(void)state;
	for (int v = WANT_COMES; v < WANT_VERDICTS; v++)
		answer("a.example", (enum want_verdict)v, 10);
	assert_int_equal(state_of("a.example"), WISH_NONE);
	wish("a.example", "192.0.2.1");
	answer("a.example", WANT_REFUSED, 10);
	answer("a.example", WANT_COMES, 10);
	assert_int_equal(state_of("a.example"), WISH_REFUSED);
	assert_int_equal(bed.events[WISH_EVENT_COMES], 0);
}

/* Refused ones make room, asked ones do not. */
static void test_full(void **state)
{
	(void)state;
	wish("a.example", "192.0.2.1");
	answer("a.example", WANT_REFUSED, 1000);
	for (const char *name = "b.example\0c.example\0d.example\0e.example\0"; *name; name += 10)
		wish(name, "192.0.2.1");
	assert_int_equal(state_of("a.example"), WISH_NONE);
	assert_int_equal(on_demand_asked(&bed.d), 4);
	assert_int_equal(gate(), WISHES_FULL);
	wish("f.example", "192.0.2.1");
	assert_int_equal(state_of("f.example"), WISH_NONE);
	assert_int_equal(bed.events[WISH_EVENT_FULL], 1);
	answer("b.example", WANT_REFUSED, 1000);
	answer("c.example", WANT_REFUSED, 1000);
	run_until(&bed.f, gate() == WISHES_OPEN);
	wish("f.example", "192.0.2.1");
	assert_int_equal(state_of("f.example"), WISH_ASKED);
	assert_int_equal(state_of("b.example"), WISH_NONE);
	assert_int_equal(state_of("c.example"), WISH_REFUSED);
}

static void test_streams_come_and_go(void **state)
{
	(void)state;
	wish("a.example", "192.0.2.1");
	on_demand_update(&bed.d, false);
	assert_int_equal(gate(), WISHES_AWAY);
	assert_int_equal(state_of("a.example"), WISH_ASKED);
	wish("b.example", "192.0.2.1");
	assert_int_equal(state_of("b.example"), WISH_NONE);
	assert_int_equal(bed.events[WISH_EVENT_AWAY], 1);
	assert_int_equal(bed.wakes, 1);
	on_demand_update(&bed.d, true);
	assert_int_equal(gate(), WISHES_OPEN);
	assert_string_equal(bed.sent, "a.example 192.0.2.1|a.example 192.0.2.1");
}

static void test_time_passes(void **state)
{
	(void)state;
	clock_fake(1000000000, 0);
	wish("silent.example", "192.0.2.1");
	wish("a.example", "192.0.2.1");
	wish("b.example", "192.0.2.1");
	answer("a.example", WANT_COMES, 0);
	answer("b.example", WANT_REFUSED, UINT32_MAX);
	clock_fake_advance(2 * 1000000000ULL);
	run_until(&bed.f, state_of("a.example") == WISH_NONE);
	assert_int_equal(bed.events[WISH_EVENT_UNANSWERED], 0);
	clock_fake_advance(30 * 1000000000ULL);
	run_until(&bed.f, state_of("silent.example") == WISH_NONE);
	assert_int_equal(bed.events[WISH_EVENT_UNANSWERED], 1);
	clock_fake_advance(86300 * 1000000000ULL);
	assert_int_equal(state_of("b.example"), WISH_REFUSED);
	clock_fake_advance(100 * 1000000000ULL);
	assert_int_equal(state_of("b.example"), WISH_NONE);
}

static void try_init(void *arg)
{
	const struct on_demand_options o = {.loop = &bed.f.loop, .names_max = 1};
	struct on_demand d;
	struct err e = ERR_INIT;

	(void)arg;
	if (on_demand_init(&d, &o, &e) != 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	oom_pause();
	on_demand_close(&d);
	fixture_spin(&bed.f, 2);
	on_demand_deinit(&d);
	oom_go_on();
}

/* Whatever fails: the name is asked for, or nobody goes on waiting for it. */
static void ask_and_refuse(void *arg)
{
	struct addr a;

	(void)arg;
	oom_pause();
	begin(2);
	assert_int_equal(addr_parse_ip(&a, STR("192.0.2.1")), 0);
	oom_go_on();
	on_demand_update(&bed.d, true);
	bed.wakes = 0;
	if (wish_post(&bed.d.board, STR("a.example"), &a)) {
		fixture_spin(&bed.f, 2);
		assert_true(state_of("a.example") == WISH_ASKED || bed.wakes > 0);
		answer("a.example", WANT_CLIENT_REFUSED, 10);
		assert_int_not_equal(state_of("a.example"), WISH_REFUSED);
	}
	oom_pause();
	on_demand_close(&bed.d);
	fixture_spin(&bed.f, 2);
	on_demand_deinit(&bed.d);
	oom_go_on();
}

static void test_no_memory(void **state)
{
	(void)state;
	on_demand_close(&bed.d);
	fixture_spin(&bed.f, 2);
	on_demand_deinit(&bed.d);
	assert_true(oom_each(try_init, NULL) >= 2);
	assert_true(oom_each(ask_and_refuse, NULL) >= 4);
	begin(4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_asked_once),
		T(test_served),
		T(test_refused),
		T(test_a_client_is_refused),
		T(test_answers_to_nothing),
		T(test_full),
		T(test_streams_come_and_go),
		T(test_time_passes),
		T(test_no_memory),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
