/* Brings the schema to this binary's version. Private to control-plane/store/. */
#ifndef CARDEA_STORE_MIGRATE_H
#define CARDEA_STORE_MIGRATE_H

#include "common/core/err.h"
#include "common/net/loop.h"

struct migrate;

/* Connects (for as long as it takes), takes the one lock, applies what is missing, each migration
 * in a transaction of its own with its row in schema_migrations. done comes once, later; e is NULL
 * on success; else ERR_INVALID: the schema is newer (the versions are named), or ERR_INTERNAL: a
 * migration failed. m is freed by migrate_close only, also after done. owner: store; thread: the
 * loop. */
int migrate_start(struct migrate **out, struct loop *l, const char *conninfo,
		  void (*done)(const struct err *e, void *arg), void *arg,
		  struct err *e) must_check;
/* Ends it at any time. done is not called any more. */
void migrate_close(struct migrate *m, void (*closed)(void *arg), void *arg);

#endif
