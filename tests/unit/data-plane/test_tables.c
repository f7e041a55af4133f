/* tables: many readers while one thread commits. Each revision gives both names certificates of the
 * same number, so that a reader that sees two numbers in one generation has seen half a revision.
 * Meant for SAN=thread too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "data-plane/tables/fields.h"
#include "data-plane/tables/service.h"
#include "data-plane/tables/tables.h"
#include "data-plane/tables/upstream.h"
#include "tests/unit/lib/testentity.h"

enum { READERS = 3, REVISIONS = 3000, NAMES = 8, PORTS = 65536 };

static struct tables *t;
static atomic_bool stop;
static atomic_uint halves, looked;

static void name_of(unsigned i, char out[32])
{
	snprintf(out, 32, "h%u.example.com", i);
}

/* The number that all names have in this generation, or -1 when they differ. */
static long number_at(uint64_t generation)
{
	long number = 0;

	for (unsigned i = 0; i < NAMES; i++) {
		char name[32], text[16] = "";
		const struct cert *c;
		long n = 0;

		name_of(i, name);
		c = certs_find(&t->certs, generation, str_from(name));
		if (c) {
			memcpy(text, c->parts[0].leaf, c->parts[0].leaf_len);
			n = strtol(text, NULL, 10);
		}
		if (i > 0 && n != number)
			return -1;
		number = n;
	}
	return number;
}

/* The number that a service and an upstream's targets have in this generation, -1 when they
 * differ. */
static long entities_at(uint64_t generation)
{
	unsigned char id[ENTITY_ID_SIZE];
	const struct entity_list *l;
	const struct service *s;

	memset(id, 's', sizeof(id));
	s = service_find(&t->entities, generation, id);
	memset(id, 'u', sizeof(id));
	l = upstream_targets(&t->entities, generation, id);
	if (!s || !l)
		return s || l ? -1 : 0;
	if (l->count != NAMES)
		return -1;
	for (size_t i = 0; i < NAMES; i++)
		if (entity_of(l->items[i], struct target)->port != s->port)
			return -1;
	return s->port;
}

static void *read_all(void *arg)
{
	struct ticket_secret secrets[TICKET_SECRETS_MAX];
	long last = 0;

	(void)arg;
	rcu_start();
	while (!atomic_load(&stop)) {
		uint64_t generation = tables_enter(t);
		long n = number_at(generation);

		if (n < 0 || n < last || entities_at(generation) != n % PORTS ||
		    tickets_copy(&t->tickets, generation, secrets) > 1)
			atomic_fetch_add(&halves, 1);
		last = n;
		atomic_fetch_add(&looked, 1);
		rcu_leave();
	}
	rcu_stop();
	return NULL;
}

static void stage_entity(enum entities_kind kind, unsigned id, const char *fields)
{
	unsigned char bytes[ENTITY_ID_SIZE];
	struct arena memory;
	struct err e = ERR_INIT;

	arena_init(&memory, 0);
	memset(bytes, (int)id, sizeof(bytes));
	if (entities_put(&t->entities, &t->txn, kind, bytes,
			 fields_of(testentity_record(&memory, fields)), str_from(fields), &e) != 0)
		fail_msg("%s", e.message);
	arena_deinit(&memory);
}

/* Every other revision the targets are other entities. */
static void stage_entities(unsigned revision)
{
	char text[64];

	snprintf(text, sizeof(text), "host=a port=%%%u", revision % PORTS);
	stage_entity(ENTITIES_SERVICE, 's', text);
	for (unsigned i = 0; i < NAMES; i++) {
		unsigned char old[ENTITY_ID_SIZE];

		snprintf(text, sizeof(text), "target=h%u:%u upstream=#u", i, revision % PORTS);
		stage_entity(ENTITIES_TARGET, i + revision % 2 * 100 + 1, text);
		memset(old, (int)(i + (revision + 1) % 2 * 100 + 1), sizeof(old));
		assert_int_equal(entities_remove(&t->entities, &t->txn, ENTITIES_TARGET, old, NULL),
				 0);
	}
}

static void stage(unsigned revision)
{
	unsigned char id[16], sni[16];
	char leaf[16], name[32], secret[TICKET_SECRET_SIZE] = "";
	struct err e = ERR_INIT;

	snprintf(leaf, sizeof(leaf), "%u", revision);
	for (unsigned i = 0; i < NAMES; i++) {
		const struct cert_source s = {str_from(leaf), NULL, 0, STR("key"), STR_NONE};

		/* Every other revision the names go to other entities. */
		memset(id, (int)(i + (revision % 2) * 100 + 1), sizeof(id));
		memset(sni, (int)(i + 1), sizeof(sni));
		name_of(i, name);
		assert_int_equal(certs_put(&t->certs, &t->txn, id, &s, 1, &e), 0);
		assert_int_equal(certs_put_sni(&t->certs, &t->txn, sni, str_from(name), id, 0, &e),
				 0);
	}
	secret[0] = (char)revision;
	memset(id, 9, sizeof(id));
	assert_int_equal(tickets_put(&t->tickets, &t->txn, id, (struct str){secret, sizeof(secret)},
				     revision, &e),
			 0);
	stage_entities(revision);
}

static void test_readers_and_writer(void **state)
{
	pthread_t readers[READERS];
	struct tables_culprit c;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(tables_create(&t, NULL, &e), 0);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_all, NULL), 0);
	for (unsigned r = 1; r <= REVISIONS || atomic_load(&looked) < REVISIONS; r++) {
		tables_begin(t, r % 3 == 0);
		stage(r);
		if (r % 7 == 0) {
			tables_abort(t);
			continue;
		}
		if (tables_commit(t, &c, &e) != 0)
			fail_msg("%s", e.message);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	while (tables_reap(t))
		rcu_barrier();
	assert_int_equal(atomic_load(&halves), 0);
	assert_true(t->certs.keys.used <= 2 * NAMES * 16);
	tables_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readers_and_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
