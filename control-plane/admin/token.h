/* Bearer tokens of the admin API.
 *
 *     cardea_ + base64url(16 bytes of id, 32 random bytes)
 *
 * The id finds the row, the random bytes are compared with what is stored: their SHA-256. A fast
 * hash is right here, for what it hides are 256 random bits and no password: nobody can try them
 * out, however fast. Pure. Thread: any.
 */
#ifndef CARDEA_ADMIN_TOKEN_H
#define CARDEA_ADMIN_TOKEN_H

#include <stdbool.h>

#include "common/core/codec.h"
#include "common/core/err.h"
#include "common/core/str.h"

enum {
	TOKEN_SECRET_SIZE = 32,
	TOKEN_TEXT_SIZE = 7 + 64 + 1, /* with a NUL */
	TOKEN_HASH_SIZE = 32,
	TOKEN_HASH_HEX_SIZE = 2 * TOKEN_HASH_SIZE + 1,
};

/* What a token's text says. */
struct token {
	char id[UUID_TEXT_SIZE];
	unsigned char hash[TOKEN_HASH_SIZE]; /* of its secret */
};

/* A new token: its text, to be shown once and cleansed by the caller, and what is stored of it. */
int token_make(struct token *out, char text[TOKEN_TEXT_SIZE], struct err *e) must_check;
/* ERR_INVALID: not a token's text. */
int token_parse(struct token *out, struct str text, struct err *e) must_check;
/* The stored form of the hash: lower-case hex. */
void token_hash_hex(const struct token *t, char out[TOKEN_HASH_HEX_SIZE]);
/* Whether the stored hash, in hex, is t's. Takes the same time whatever differs. */
bool token_matches(const struct token *t, struct str stored_hex);

#endif
