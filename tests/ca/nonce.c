/* A nonce is its number and the process's tag in base64url. Of the newest CA_NONCES numbers a bit
 * says whether they were used; older ones are refused, as at a CA that forgets by volume. */
#include <openssl/rand.h>

#include "common/core/codec.h"
#include "tests/ca/ca.h"

int ca_nonces_init(struct ca_nonces *n, struct err *e)
{
	n->next = 1;
	if (RAND_bytes(n->tag, sizeof(n->tag)) != 1)
		return err_openssl(e, ERR_INTERNAL, "no randomness");
	return 0;
}

void ca_nonce_make(struct ca_nonces *n, char out[CA_NONCE_SIZE])
{
	unsigned char raw[16];
	uint64_t number = n->next++;
	size_t slot = number % CA_NONCES;
	struct buf text = BUF_INIT;

	n->used[slot / 8] &= (unsigned char)~(1U << slot % 8);
	memcpy(raw, &number, 8);
	memcpy(raw + 8, n->tag, 8);
	out[0] = '\0';
	if (base64url_encode(&text, (struct str){(char *)raw, sizeof(raw)}, NULL) == 0 &&
	    text.len < CA_NONCE_SIZE)
		memcpy(out, text.data, text.len + 1);
	buf_deinit(&text);
}

bool ca_nonce_use(struct ca_nonces *n, struct str text)
{
	struct buf raw = BUF_INIT;
	uint64_t number = 0;
	size_t slot;
	bool mine;

	mine = base64url_decode(&raw, text, NULL) == 0 && raw.len == 16 &&
	       memcmp(raw.data + 8, n->tag, 8) == 0;
	if (mine)
		memcpy(&number, raw.data, 8);
	buf_deinit(&raw);
	if (!mine || number == 0 || number >= n->next || n->next - number > CA_NONCES)
		return false;
	slot = number % CA_NONCES;
	if (n->used[slot / 8] & (1U << slot % 8))
		return false;
	n->used[slot / 8] |= (unsigned char)(1U << slot % 8);
	return true;
}
