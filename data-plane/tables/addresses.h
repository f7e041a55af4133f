/* Addresses of upstream names, as DNS last told them: published by the sync thread
 * (sync/resolver.h), read by workers.
 *
 *     worker: addresses_find ─▶ nothing known ─▶ addresses_ask ──▶ sync thread looks it up
 *             on_news ◀───────────────────────── addresses_publish ──┘
 *
 * A set that was published once stays until it is replaced: a bad answer takes nothing away (UP-14,
 * F18). Thread: each call says whose. */
#ifndef CARDEA_TABLES_ADDRESSES_H
#define CARDEA_TABLES_ADDRESSES_H

#include <stdatomic.h>
#include <uv.h>

#include "common/core/list.h"
#include "common/net/addr.h"
#include "common/net/loop.h"
#include "data-plane/tables/live_map.h"

enum {
	ADDRESSES_NAME_MAX = 253,
	ADDRESSES_PER_NAME = 256, /* of one answer; what is more is left out */
	ADDRESSES_ASKS_MAX = 1024 /* names that workers ask for and that wait to be taken up */
};

struct address {
	struct addr addr; /* its port is 0 where DNS tells none */
	uint16_t weight;  /* of an SRV record; 0: none was told */
	struct str name;  /* target of the SRV record; STR_NONE */
};

struct address_set {
	struct version version; /* another `since` for each set that differs */
	size_t count;		/* 0: the look-up failed, nothing was ever known */
	struct address items[]; /* sorted */
};

struct addresses {
	struct live_map names;	/* private; map.count may be read */
	_Atomic uint64_t epoch; /* read: grows whenever a set changed */
	uv_mutex_t lock;	/* of what follows; private */
	struct link asks, readers;
	size_t ask_count;
	struct loop *loop;
	void (*on_ask)(struct str name, void *arg);
	void *arg;
	bool posted;
	_Atomic uint64_t refused; /* read: names that could not be asked for: too many, or memory */
};

/* The calling thread is the writer: registered with RCU. */
int addresses_init(struct addresses *a, struct err *e) must_check;
/* No reader may be left. */
void addresses_deinit(struct addresses *a);

/* --- workers --- */

/* NULL: never looked up; ask. Goes online; lives until rcu_leave. name: lower case. */
const struct address_set *addresses_find(const struct addresses *a, struct str name);

struct addresses_reader;
/* on_news: a set changed while something that this reader asked for was not known. Called on l. */
int addresses_reader_create(struct addresses_reader **out, struct addresses *a, struct loop *l,
			    void (*on_news)(void *arg), void *arg, struct err *e) must_check;
/* No on_news any more. Before its loop ends. NULL is fine. */
void addresses_reader_free(struct addresses_reader *r);
/* Asks for a name once more than it has to is harmless. ERR_LIMIT, ERR_MEMORY: nobody will answer.
 */
int addresses_ask(struct addresses_reader *r, struct str name, struct err *e) must_check;

/* --- the sync thread --- */

/* Who answers: on_ask is called on l. NULL: nobody, from now on addresses_ask fails. */
void addresses_serve(struct addresses *a, struct loop *l,
		     void (*on_ask)(struct str name, void *arg), void *arg);
/* Copies items and their names; n 0: the look-up failed and nothing was known. A set equal to the
 * one that is held changes nothing but wakes readers. Order does not count. */
int addresses_publish(struct addresses *a, struct str name, const struct address *items, size_t n,
		      struct err *e) must_check;
/* Somebody asked for what is known: readers look again. */
void addresses_wake(struct addresses *a);
/* Nobody uses the name any more. */
void addresses_forget(struct addresses *a, struct str name);

#endif
