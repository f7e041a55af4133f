/* A store on a loop for tests, and the last answer it gave. In a header, because the common tests'
 * library knows no store. */
#ifndef CARDEA_TESTS_STORE_FIXTURE_H
#define CARDEA_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control-plane/store/store.h"
#include "tests/unit/lib/loop_fixture.h"

struct store_fixture {
	struct loop_fixture *on; /* its own, or another fixture's */
	struct loop_fixture own; /* private */
	const char *conninfo;
	struct keyring *keyring;
	struct store *store;
	bool ready;
	enum err_kind ready_kind;
	char ready_message[ERR_MESSAGE_SIZE];
	/* The last answer; rows and key are references of its own. */
	unsigned answers;
	unsigned waited; /* answers that store_fixture_wait saw */
	enum store_fault fault;
	struct err err;
	uint64_t revision, affected;
	json_t *rows, *key;
	bool closed;
};

static inline void store_fixture_ready(const struct err *e, void *arg)
{
	struct store_fixture *f = arg;

	f->ready = true;
	f->ready_kind = e ? e->kind : ERR_NONE;
	snprintf(f->ready_message, sizeof(f->ready_message), "%s", e ? e->message : "");
}

static inline void store_fixture_done(const struct store_result *r, void *arg)
{
	struct store_fixture *f = arg;

	json_decref(f->rows);
	json_decref(f->key);
	f->answers++;
	f->fault = r->fault;
	f->err = r->err;
	f->revision = r->revision;
	f->affected = r->affected;
	f->rows = json_incref(r->rows);
	f->key = json_incref(r->key);
}

/* Opens without waiting. conninfo NULL: in memory; on NULL: a loop of its own. */
static inline struct store_fixture *store_fixture_start_on(const char *conninfo,
							   struct loop_fixture *on)
{
	struct store_fixture *f = calloc(1, sizeof(*f));
	struct store_conf c = {.conninfo = conninfo, .pool_size = 4, .query_timeout_ms = 3000};
	struct err e = ERR_INIT;

	assert_non_null(f);
	f->on = on ? on : &f->own;
	if (!on)
		fixture_init(&f->own);
	f->conninfo = conninfo;
	assert_int_equal(keyring_from_text(&f->keyring,
					   STR("1 000102030405060708090a0b0c0d0e0f"
					       "101112131415161718191a1b1c1d1e1f\n"),
					   &e),
			 0);
	c.keyring = f->keyring;
	if ((conninfo ? store_open(&f->store, &f->on->loop, &c, store_fixture_ready, f, &e)
		      : store_open_memory(&f->store, &f->on->loop, store_fixture_ready, f, &e)) < 0)
		fail_msg("%s", e.message);
	return f;
}

static inline struct store_fixture *store_fixture_start(const char *conninfo)
{
	return store_fixture_start_on(conninfo, NULL);
}

static inline void store_fixture_wait_ready(struct store_fixture *f)
{
	run_until(f->on, f->ready);
}

/* Opens and waits until migrations are applied. */
static inline struct store_fixture *store_fixture_open(const char *conninfo)
{
	struct store_fixture *f = store_fixture_start(conninfo);

	store_fixture_wait_ready(f);
	if (f->ready_kind != ERR_NONE)
		fail_msg("%s", f->ready_message);
	return f;
}

/* Until the next answer, which must not have come from inside the call that asked. */
static inline void store_fixture_wait(struct store_fixture *f)
{
	assert_int_equal(f->answers, f->waited);
	run_until(f->on, f->answers > f->waited);
	f->waited = f->answers;
}

static inline void store_fixture_commit(struct store_fixture *f, struct txn *t)
{
	assert_non_null(t);
	txn_commit(t, store_fixture_done, f);
	store_fixture_wait(f);
}

static inline void store_fixture_closed(void *arg)
{
	struct store_fixture *f = arg;

	f->closed = true;
}

static inline void store_fixture_close(struct store_fixture *f)
{
	store_close(f->store, store_fixture_closed, f);
	run_until(f->on, f->closed);
	json_decref(f->rows);
	json_decref(f->key);
	keyring_free(f->keyring);
	if (f->on == &f->own)
		fixture_deinit(&f->own);
	free(f);
}

#endif
