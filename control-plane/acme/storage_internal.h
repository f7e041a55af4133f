/* The insides of struct storage, for storage*.c: a queue of calls, and a table of functions for
 * each kind. owner: its opener, thread: the loop. */
#ifndef CARDEA_ACME_STORAGE_INTERNAL_H
#define CARDEA_ACME_STORAGE_INTERNAL_H

#include "common/core/list.h"
#include "control-plane/acme/storage.h"

enum storage_verb { STORAGE_GET, STORAGE_SET, STORAGE_DELETE, STORAGE_LIST };

struct storage_call {
	struct link link; /* on storage.calls */
	enum storage_verb verb;
	struct buf key;	  /* STORAGE_LIST: the prefix */
	struct buf value; /* STORAGE_SET: secret */
	uint64_t ttl_ms;
	storage_done done;
	void *arg;
};

struct storage_ops {
	/* Begins the call; storage_end or storage_fail follows, at once or later. */
	void (*begin)(struct storage *s, const struct storage_call *c);
	/* Forgets the call that was begun. */
	void (*cancel)(struct storage *s);
	/* Frees the whole of s later, with storage_deinit first and then closed. */
	void (*close)(struct storage *s);
};

struct storage {
	const struct storage_ops *ops;
	struct loop *loop;
	size_t value_max, keys_max;
	uint64_t timeout_ms; /* of one call, between signs of life */
	char text[128];
	struct link calls; /* struct storage_call; the first is under way when `busy` */
	size_t count;
	bool busy;
	bool closing;
	struct timer deadline;
	struct deferred next;
	struct buf keys; /* of a list, each as a 32-bit length and its bytes */
	size_t keys_count;
	struct err result; /* of a call that ends: given at the end of the turn */
	bool ended, found;
	struct buf value; /* secret */
	void (*closed)(void *arg);
	void *closed_arg;
	void (*then)(struct storage *s); /* frees it */
};

/* The common part; the rest of the settings are the kind's. timeout_ms 0: 2,000. */
void storage_init(struct storage *s, const struct storage_ops *ops, struct loop *l,
		  const struct storage_limits *limits, uint64_t timeout_ms);
/* Frees the common part's memory; then calls then(s), which frees it. */
void storage_deinit(struct storage *s, void (*then)(struct storage *s));

/* The call under way is done. What it found was given before by storage_take_value or
 * storage_take_key. */
void storage_end(struct storage *s);
/* It failed; e is copied. */
void storage_fail(struct storage *s, const struct err *e);
/* The value that a get found: copied. ERR_LIMIT: over value_max. */
int storage_take_value(struct storage *s, struct str value, struct err *e) must_check;
/* A key of a list that begins with the prefix, or any other, which is left out. ERR_LIMIT: more
 * than keys_max. */
int storage_take_key(struct storage *s, struct str key, struct err *e) must_check;
/* The call goes on: its time begins again. */
void storage_alive(struct storage *s);
/* The call under way. */
const struct storage_call *storage_current(const struct storage *s);

/* A member of a record, or fallback. ERR_INVALID, named after `what` and the member: of another
 * type, or out of range. */
int storage_conf_text(const json_t *record, const char *what, const char *name,
		      const char *fallback, const char **out, struct err *e) must_check;
int storage_conf_number(const json_t *record, const char *what, const char *name, int64_t fallback,
			int64_t max, int64_t *out, struct err *e) must_check;
int storage_conf_switch(const json_t *record, const char *what, const char *name, bool fallback,
			bool *out, struct err *e) must_check;

/* The kinds; config: the record of that name in storage_config, or NULL. */
int storage_redis_open(struct storage **out, struct loop *l, const json_t *config,
		       const struct storage_limits *limits, struct err *e) must_check;
int storage_consul_open(struct storage **out, struct loop *l, const json_t *config,
			const struct storage_limits *limits, struct err *e) must_check;
int storage_vault_open(struct storage **out, struct loop *l, const json_t *config,
		       const struct storage_limits *limits, struct err *e) must_check;

#endif
