#include "control-plane/admin/token_store.h"

#include <inttypes.h>
#include <stdlib.h>

#define COLUMNS                                                                                    \
	"id, name, role, read_keys, floor(extract(epoch FROM created_at))::bigint AS created_at, " \
	"floor(extract(epoch FROM expires_at))::bigint AS expires_at, floor(extract(epoch FROM "   \
	"last_used_at))::bigint AS last_used_at"

void token_store_add(struct store *s, const struct token *t, const struct token_spec *spec,
		     const struct store_note *note, store_done done, void *arg)
{
	char hash[TOKEN_HASH_HEX_SIZE], bytes[TOKEN_HASH_HEX_SIZE + 2], expires[24];
	const char *params[] = {t->id,
				spec->name,
				role_name(spec->role),
				spec->read_keys ? "true" : "false",
				bytes,
				spec->expires_s ? expires : NULL};

	token_hash_hex(t, hash);
	snprintf(bytes, sizeof(bytes), "\\x%s", hash);
	snprintf(expires, sizeof(expires), "%" PRIu64, spec->expires_s);
	store_query_noted(s,
			  "INSERT INTO admin_tokens (id, name, role, read_keys, hash, expires_at) "
			  "VALUES ($1::uuid, $2, $3, $4::boolean, $5::bytea, now() + $6::bigint * "
			  "interval '1 second') RETURNING " COLUMNS,
			  params, array_len(params), note, done, arg);
}

void token_store_list(struct store *s, const char *after, unsigned limit, store_done done,
		      void *arg)
{
	char number[12];
	const char *params[] = {after, number};

	snprintf(number, sizeof(number), "%u", limit);
	store_query(s,
		    "SELECT " COLUMNS " FROM admin_tokens WHERE ($1::uuid IS NULL OR id > "
		    "$1::uuid) ORDER BY id LIMIT $2::bigint",
		    params, array_len(params), done, arg);
}

/* A key with a NUL byte would be cut to another one. */
static char *key_text(struct str key)
{
	return memchr(key.ptr, '\0', key.len) ? NULL : str_dup(key);
}

void token_store_get(struct store *s, struct str key, store_done done, void *arg)
{
	char *text = key_text(key);
	const char *params[] = {text};

	store_query(s,
		    uuid_is(key) ? "SELECT " COLUMNS " FROM admin_tokens WHERE id = $1::uuid"
				 : "SELECT " COLUMNS " FROM admin_tokens WHERE name = $1",
		    params, array_len(params), done, arg);
	free(text);
}

void token_store_remove(struct txn *t, struct str key)
{
	char *text = key_text(key);
	const char *params[] = {text};

	txn_exec(t,
		 uuid_is(key) ? "DELETE FROM admin_tokens WHERE id = $1::uuid RETURNING 1"
			      : "DELETE FROM admin_tokens WHERE name = $1 RETURNING 1",
		 params, array_len(params), 1, STORE_NOT_FOUND);
	free(text);
}
