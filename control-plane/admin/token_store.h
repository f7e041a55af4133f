/* The table of tokens, for the admin API and for the first token, which is made before anybody can
 * ask for one. Thread: the loop. */
#ifndef CARDEA_ADMIN_TOKEN_STORE_H
#define CARDEA_ADMIN_TOKEN_STORE_H

#include "control-plane/admin/roles.h"
#include "control-plane/admin/token.h"
#include "control-plane/store/store.h"

/* Collection of tokens in audit rows, and name of their table. */
#define TOKEN_STORE_KIND "admin_tokens"

struct token_spec {
	const char *name;
	enum role role;
	bool read_keys;	    /* roles.h: role_takes_keys */
	uint64_t expires_s; /* from now; 0: never */
};

/* Stores t under this name. rows: the token as answers show it. STORE_UNIQUE: the name is taken. */
void token_store_add(struct store *s, const struct token *t, const struct token_spec *spec,
		     const struct store_note *note, store_done done, void *arg);
/* Tokens by id, `limit` of them after an id (NULL: from the first). */
void token_store_list(struct store *s, const char *after, unsigned limit, store_done done,
		      void *arg);
/* One by id or name; rows is empty when there is none. */
void token_store_get(struct store *s, struct str key, store_done done, void *arg);
/* Adds its removal to t; STORE_NOT_FOUND when there is none. */
void token_store_remove(struct txn *t, struct str key);

#endif
