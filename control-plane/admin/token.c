#include "control-plane/admin/token.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>

enum { ID_SIZE = 16, RAW_SIZE = ID_SIZE + TOKEN_SECRET_SIZE };

static const struct str prefix = {"cardea_", 7};

static void from_raw(struct token *out, const unsigned char raw[RAW_SIZE])
{
	uuid_text(raw, out->id);
	SHA256(raw + ID_SIZE, TOKEN_SECRET_SIZE, out->hash);
}

int token_make(struct token *out, char text[TOKEN_TEXT_SIZE], struct err *e)
{
	char id[UUID_TEXT_SIZE];
	unsigned char raw[RAW_SIZE];
	struct buf body = {.secret = true};
	int rc = uuid_make(id, e);

	if (rc < 0)
		return -1;
	uuid_bytes(str_from(id), raw);
	if (RAND_priv_bytes(raw + ID_SIZE, TOKEN_SECRET_SIZE) != 1)
		rc = err_openssl(e, ERR_INTERNAL, "no random bytes");
	if (rc == 0)
		rc = base64url_encode(&body, (struct str){(const char *)raw, sizeof(raw)}, e);
	if (rc == 0) {
		from_raw(out, raw);
		snprintf(text, TOKEN_TEXT_SIZE, "%s%s", prefix.ptr, body.data);
	}
	buf_deinit(&body);
	OPENSSL_cleanse(raw, sizeof(raw));
	return rc;
}

int token_parse(struct token *out, struct str text, struct err *e)
{
	struct buf raw = {.secret = true};
	int rc = 0;

	if (text.len != TOKEN_TEXT_SIZE - 1 || !str_starts(text, prefix))
		return err_set(e, ERR_INVALID, "not a token");
	if (base64url_decode(&raw, str_sub(text, prefix.len, text.len), NULL) < 0 ||
	    raw.len != RAW_SIZE)
		rc = err_set(e, ERR_INVALID, "not a token");
	else
		from_raw(out, (const unsigned char *)raw.data);
	buf_deinit(&raw);
	return rc;
}

void token_hash_hex(const struct token *t, char out[TOKEN_HASH_HEX_SIZE])
{
	for (size_t i = 0; i < TOKEN_HASH_SIZE; i++)
		snprintf(out + 2 * i, 3, "%02x", t->hash[i]);
}

bool token_matches(const struct token *t, struct str stored_hex)
{
	char mine[TOKEN_HASH_HEX_SIZE];

	token_hash_hex(t, mine);
	return stored_hex.len == TOKEN_HASH_HEX_SIZE - 1 &&
	       CRYPTO_memcmp(mine, stored_hex.ptr, stored_hex.len) == 0;
}
