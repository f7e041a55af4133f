/* The operations behind store.h, once for PostgreSQL and once for a store in memory. Private to
 * control-plane/store/. owner: store, thread: the loop. */
#ifndef CARDEA_STORE_OPS_H
#define CARDEA_STORE_OPS_H

#include "control-plane/store/store.h"

/* As the functions of store.h by these names. */
struct store_ops {
	bool read_only;
	void (*get)(struct store *s, const struct entity *t, struct str key, store_done done,
		    void *arg);
	void (*find)(struct store *s, const struct entity *t, const struct store_key *k,
		     store_done done, void *arg);
	void (*list)(struct store *s, const struct entity *t, const struct store_page *p,
		     store_done done, void *arg);
	void (*tags)(struct store *s, const struct store_tag_page *p, store_done done, void *arg);
	/* note may be NULL. */
	void (*query)(struct store *s, const char *sql, const char *const *params, size_t n,
		      const struct store_note *note, store_done done, void *arg);
	int (*seal)(struct store *s, struct str context, struct str plain, struct buf *out,
		    struct err *e);
	int (*unseal)(struct store *s, struct str context, struct str hex, struct buf *out,
		      struct err *e);
	void (*nodes_write)(struct store *s, const char *self, const json_t *rows,
			    const json_t *payloads, store_done done, void *arg);
	void (*nodes_read)(struct store *s, const char *self, uint64_t keep_s, store_done done,
			   void *arg);
	void (*nodes_list)(struct store *s, store_done done, void *arg);
	void (*nodes_beat)(struct store *s, const char *self, store_done done, void *arg);
	void (*nodes_purge)(struct store *s, store_done done, void *arg);
	void (*refuse)(struct store *s, const json_t *refusals, store_done done, void *arg);
	int (*follow)(struct store *s, const struct feed_events *ev, struct err *e);
	uint64_t (*followed_ns)(const struct store *s);
	void (*unfollow)(struct store *s);
	bool (*reachable)(const struct store *s);
	void (*close)(struct store *s, void (*closed)(void *arg), void *arg);
};

extern const struct store_ops pg_store_ops;	/* ops.c */
extern const struct store_ops memory_store_ops; /* memory_store.c */

#endif
