/* The store: entities, transactions that end in a revision, plain queries, and the change feed,
 * over PostgreSQL; or, read-only but for whole documents (load.h), in memory (ops.h).
 *
 * Nothing blocks: every call queues and answers through a callback, later, on the loop. All
 * statements of a transaction go out in one pipeline (one round trip). Secrets are sealed before
 * they leave this module and unsealed when they come in. With the database away: calls fail with
 * ERR_UNAVAILABLE within 3 s (conf.query_timeout_ms); the pool reconnects with jittered backoff.
 * owner: main, thread: the loop.
 */
#ifndef CARDEA_STORE_STORE_H
#define CARDEA_STORE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"
#include "common/net/loop.h"
#include "common/pki/seal.h"
#include "control-plane/model/entity.h"

struct store;
struct txn;
struct bulk;

struct store_conf {
	const char *conninfo;	       /* libpq connection string */
	unsigned pool_size;	       /* connections for queries; one more listens */
	uint64_t query_timeout_ms;     /* 3,000 */
	const struct keyring *keyring; /* borrowed */
};

/* Connects in the background; on_ready comes once, when migrations are applied and the database
 * answered the first time. on_ready with an error means that the schema is newer than this binary,
 * or the migration failed: the daemon exits. */
int store_open(struct store **out, struct loop *l, const struct store_conf *c,
	       void (*on_ready)(const struct err *e, void *arg), void *arg,
	       struct err *e) must_check;
/* The same without a database (`database = off`): empty until a document is loaded. on_ready comes
 * once, later. */
int store_open_memory(struct store **out, struct loop *l,
		      void (*on_ready)(const struct err *e, void *arg), void *arg,
		      struct err *e) must_check;
void store_close(struct store *s, void (*closed)(void *arg), void *arg);
/* Whether entities are changed by documents only: transactions and plain queries then fail with
 * STORE_READ_ONLY. */
bool store_read_only(const struct store *s);
/* Whether the last exchange with the database went well. */
bool store_reachable(const struct store *s);

/* --- results --- */

/* Why a call failed, beyond err.kind: what the admin API needs for Kong's codes. */
enum store_fault {
	STORE_OK,
	STORE_UNIQUE,	   /* code 5; key: {"name":"a.com"} */
	STORE_PRIMARY_KEY, /* code 3 */
	STORE_FOREIGN,	   /* code 4: key names what does not exist {"certificate":{"id":"..."}} */
	STORE_REFERENCED,  /* code 4: still referenced by `referrer` */
	STORE_IN_USE,	   /* code 19: an element of a list of `referrer` names it; key: the
			      referrer's {"id":"..."} */
	STORE_NOT_FOUND,   /* code 6: CA001 on a row that is not there */
	STORE_VERSION,	   /* the row changed since it was read: read again and retry */
	STORE_LEASE,	   /* CA002: another control plane took over */
	STORE_READ_ONLY,   /* code 12: not without a database */
	STORE_UNAVAILABLE, /* 503 */
	STORE_FAILED,	   /* code 8 */
};

struct store_result {
	enum store_fault fault;
	struct err err;
	const struct entity *entity; /* concerned by fault, or NULL */
	json_t *key; /* see store_fault; or NULL. Borrowed until the callback returns, as all here
		      */
	const char *referrer;
	uint64_t revision; /* txn_commit: the revision made, or the current one when nothing changed
			    */
	json_t *rows; /* array of objects: of reads, and of RETURNING statements of store_query */
	/* store_query: rows affected; txn_commit: rows that txn_upsert_many made or changed (0 when
	 * the answer was lost). */
	uint64_t affected;
};
typedef void (*store_done)(const struct store_result *r, void *arg);

/* --- reading entities (secrets unsealed; "version" is an extra integer field in each row) --- */

/* One entity by id, or by its endpoint key when key is no UUID. rows has one or, without error,
 * none. certificates get "snis" filled in. */
void store_get(struct store *s, const struct entity *t, struct str key, store_done done, void *arg);
/* One entity by any unique field, or by a field that is unique below what `foreign` refers to
 * (targets); foreign NULL: anywhere. rows as for store_get. */
struct store_key {
	const char *field;
	struct str value;
	const char *foreign;
	struct str foreign_id;
};
void store_find(struct store *s, const struct entity *t, const struct store_key *k, store_done done,
		void *arg);
struct store_page {
	unsigned size;	  /* rows wanted; one more is read so that the caller sees whether there are
			     more */
	struct str after; /* id of the last row of the page before; STR_NONE: first page */
	struct str after_time; /* its created_at as text; only where the newest come first */
	const char *foreign;   /* field name that must equal foreign_id: nested lists; NULL: none */
	struct str foreign_id;
	const struct str *tags; /* n tags; all or any of them */
	size_t tag_count;
	bool tags_any;
};
/* By id ascending; entities with newest_first by created_at, then id, descending. */
void store_list(struct store *s, const struct entity *t, const struct store_page *p,
		store_done done, void *arg);

struct store_tag_page {
	unsigned size;					 /* as in store_page */
	const char *tag;				 /* this one only; NULL: all */
	const char *after_tag, *after_entity, *after_id; /* the last row before; NULL: none */
};
/* Rows {"tag","entity_name","entity_id"} of every entity, in that order. */
void store_tags(struct store *s, const struct store_tag_page *p, store_done done, void *arg);

/* --- one transaction, one revision --- */

/* operation: UUID text that names the write for recovery of a lost commit answer; NULL: one is
 * made. NULL: out of memory, or the store is read-only. */
struct txn *txn_create(struct store *s, const char *operation);
/* Each adds a statement; values are copied (and sealed) now; an error (memory, sealing) is kept and
 * reported by txn_commit. */
void txn_insert(struct txn *t, const struct entity *e, const json_t *row);
/* Whole row by id. version >= 0: fails with STORE_VERSION unless the stored one is that. */
void txn_update(struct txn *t, const struct entity *e, const json_t *row, int64_t version);
/* Insert or replace by id. */
void txn_upsert(struct txn *t, const struct entity *e, const json_t *row);
/* Insert or replace many rows by id, in one statement (bulk.h); takes b over. Rows that would not
 * change are left alone. A fault names no row. */
void txn_upsert_many(struct txn *t, struct bulk *b);
/* Before any statement: the transaction may take so long, instead of conf.query_timeout_ms. */
void txn_allow(struct txn *t, uint64_t ms);
/* must_exist: STORE_NOT_FOUND when nothing was there. */
void txn_delete(struct txn *t, const struct entity *e, struct str id, bool must_exist);
/* Plain SQL with text parameters ($1...; NULL is SQL null). min_rows: fewer affected or returned
 * rows end the transaction with `fault` (STORE_LEASE or STORE_NOT_FOUND). */
void txn_exec(struct txn *t, const char *sql, const char *const *params, size_t n,
	      uint64_t min_rows, enum store_fault fault);
/* What the audit table says of a write; everything is copied. */
struct store_note {
	const char *actor;	/* token's name, certificate's subject, "anonymous", "acme" */
	const char *actor_kind; /* "token", "certificate", "anonymous", "engine" */
	const char *address, *method, *path; /* of the request; NULL: none */
	const char *kind, *entity;	     /* what it is about: collection and id; NULL: none */
	const json_t *fields;		     /* names of changed fields; NULL: none */
	bool if_changed; /* only when the transaction makes a revision: for upkeep that runs often
			  */
};
/* Stored with the transaction's revision, in the transaction. The last one counts. A store in
 * memory keeps none. */
void txn_note(struct txn *t, const struct store_note *n);
/* A note beside those before it. */
void txn_note_also(struct txn *t, const struct store_note *n);
/* Runs it; frees the txn after done. A commit whose answer was lost is looked up by its operation
 * id before done is called. */
void txn_commit(struct txn *t, store_done done, void *arg);
/* Instead of txn_commit. */
void txn_free(struct txn *t);

/* Plain SQL outside the entities, one statement, text parameters; rows as objects: numbers,
 * booleans and jsonb as JSON, the rest as strings, timestamptz as float seconds. For nodes,
 * accounts and orders. */
void store_query(struct store *s, const char *sql, const char *const *params, size_t n,
		 store_done done, void *arg);
/* The same with an audit row in the statement's transaction; note NULL: without. */
void store_query_noted(struct store *s, const char *sql, const char *const *params, size_t n,
		       const struct store_note *note, store_done done, void *arg);
/* Notes that data planes refused entities: array of {"kind","id","revision","refusal":{"node",
 * "reason","at"}}; revision: the newest that was refused. One revision for all of them, which the
 * feed gives as changes with `refused` set; an entity that changed after its revision, or was
 * refused before, is left out. Its next change ends it. rows: none. */
void store_refuse(struct store *s, const json_t *refusals, store_done done, void *arg);
/* Secrets of such tables: sealed bytes as text parameter ("\\x..." hex) and back. context:
 * "acme_orders.key:" + id. */
int store_seal(struct store *s, struct str context, struct str plain, struct buf *out,
	       struct err *e) must_check;
int store_unseal(struct store *s, struct str context, struct str hex, struct buf *out,
		 struct err *e) must_check;

/* --- data planes --- */

/* rows: array of what nodes_table_put takes, of data planes of control plane `self`. payloads:
 * array of texts, to be notified on channel cardea_nodes. */
void store_nodes_write(struct store *s, const char *self, const json_t *rows,
		       const json_t *payloads, store_done done, void *arg);
/* Those of other control planes that were seen in the last keep_s seconds; "age" in milliseconds.
 */
void store_nodes_read(struct store *s, const char *self, uint64_t keep_s, store_done done,
		      void *arg);
/* All, as GET /clustering/data-planes shows them. */
void store_nodes_list(struct store *s, store_done done, void *arg);
/* The connected ones of self are there. */
void store_nodes_beat(struct store *s, const char *self, store_done done, void *arg);
/* Forgets those that were not seen for 14 days. */
void store_nodes_purge(struct store *s, store_done done, void *arg);

/* --- a read-only store's own entities --- */

/* Makes rows (array of full rows; may be empty) all there is of an internal entity, in one
 * revision. Only of a read-only store. STORE_UNAVAILABLE: a document is being loaded, try again. */
void store_keep(struct store *s, const struct entity *t, const json_t *rows, store_done done,
		void *arg);

/* --- the feed --- */

struct feed_change {
	const struct entity *entity;
	const char *id; /* UUID text */
	uint64_t revision;
	json_t *row;	  /* NULL: removed, or refused. Secrets unsealed. Borrowed */
	uint64_t refused; /* the revision of it that a data plane refused (store_refuse); 0: none */
};
struct feed_events {
	/* A whole load begins (first, and when the epoch changed or this side fell below the
	 * floor): forget everything. */
	void (*on_reset)(const char *epoch, void *arg);
	/* In revision order within a batch. */
	void (*on_change)(const struct feed_change *c, void *arg);
	/* All changes up to revision were given: one consistent state. */
	void (*on_commit)(uint64_t revision, uint64_t floor, void *arg);
	/* Somebody notified channel "cardea_nodes" (acks, node changes of another control plane).
	 * payload is text. */
	void (*on_nodes)(const char *payload, void *arg);
	void *arg;
};
/* Reads everything in one snapshot, then follows: LISTEN, plus a poll every few seconds, plus a
 * re-read after every reconnect. Rows are read in batches so that the loop is never held for more
 * than a few milliseconds. One follower at a time.
 *
 * Only entities that are `pushed` are read. A whole load gives kinds in reference order, and each
 * kind by revision, with the removals since the floor: a data plane that held such an entity may
 * come and ask what is new. When the session is lost within a load or within many changes, what was
 * given without on_commit is given again. Rows of the feed have no transient fields
 * (certificates.snis is null). A row whose secret does not open is left out, and logged; one whose
 * key is not in the keyring ends the load or the changes, which are tried again until the keyring
 * has it. */
int store_follow(struct store *s, const struct feed_events *ev, struct err *e) must_check;
/* When (clock_mono_ns) the database was asked for what the follower was given last as all there is;
 * 0: never. It grows at least every few seconds while the database is there. */
uint64_t store_followed_ns(const struct store *s);
/* From now on no event is given. For a follower that ends before the store. */
void store_unfollow(struct store *s);

#endif
