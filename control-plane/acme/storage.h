/* Where Kong's plugin acme keeps accounts, certificates and challenges outside of a database
 * (kong-acme-hybrid.md 1.7): Redis, Consul, Vault. Keys and values are bytes; what they mean is
 * kong_layout.h's.
 *
 * Calls are queued and made one at a time. done is called once, later; only when a call cannot be
 * queued (no memory, STORAGE_CALLS_MAX) before it returns, as the calls of the store do. It may
 * make further calls, and close the storage. owner: whoever opened it, thread: the loop.
 */
#ifndef CARDEA_ACME_STORAGE_H
#define CARDEA_ACME_STORAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/loop.h"

struct storage;

struct storage_limits {
	size_t value_max;    /* acme_storage_value_max: bytes of a value */
	size_t keys_max;     /* acme_storage_keys_max: keys of a list */
	const char *ca_file; /* acme_storage_ca_file: whom TLS trusts; NULL: the system. Copied */
};
enum { STORAGE_CALLS_MAX = 1024, STORAGE_KEY_MAX = 4096 };

/* config: of the plugin acme, or a part of it with "storage" and "storage_config"; defaults of its
 * schema need not be filled in. Nothing is connected yet. ERR_INVALID: no storage of this kind
 * (kong and shm are none that another process can reach), or its settings are wrong: the message
 * names which. */
int storage_open(struct storage **out, struct loop *l, const json_t *config,
		 const struct storage_limits *limits, struct err *e) must_check;
/* Forgets what is queued or under way without calling back; closed comes later, once. */
void storage_close(struct storage *s, void (*closed)(void *arg), void *arg);
/* "redis 127.0.0.1:6379/0": for reports and logs; no secrets. */
const char *storage_text(const struct storage *s);

/* Borrowed until done returns. */
struct storage_reply {
	/* ERR_DENIED: who we are is not accepted. ERR_LIMIT: a value or list over the limits.
	 * ERR_TIMEOUT, ERR_UNAVAILABLE: as everywhere. ERR_INVALID: not what the protocol says. */
	struct err err;
	bool found;		/* storage_get */
	struct str value;	/* storage_get: secret */
	const struct str *keys; /* storage_list: sorted by bytes, each once */
	size_t count;
};
typedef void (*storage_done)(const struct storage_reply *r, void *arg);

/* found false: there is none. */
void storage_get(struct storage *s, struct str key, storage_done done, void *arg);
/* ttl_ms 0: for ever. Replaces what is there. */
void storage_set(struct storage *s, struct str key, struct str value, uint64_t ttl_ms,
		 storage_done done, void *arg);
/* One that is not there is deleted. */
void storage_delete(struct storage *s, struct str key, storage_done done, void *arg);
/* Keys that begin with prefix. Consul and Vault give "-" where a key has "/". */
void storage_list(struct storage *s, struct str prefix, storage_done done, void *arg);

#endif
