/* SHA-2 without allocation is what OpenSSL 3's own interface for digests has no word for. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/pki/hmac.h"

#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#include "common/core/compiler.h"

static void init256(union sha2_state *s)
{
	(void)SHA256_Init(&s->s256);
}

static void add256(union sha2_state *s, const void *bytes, size_t len)
{
	(void)SHA256_Update(&s->s256, bytes, len);
}

static void end256(union sha2_state *s, unsigned char *out)
{
	(void)SHA256_Final(out, &s->s256);
}

static void init384(union sha2_state *s)
{
	(void)SHA384_Init(&s->s512);
}

static void add384(union sha2_state *s, const void *bytes, size_t len)
{
	(void)SHA384_Update(&s->s512, bytes, len);
}

static void end384(union sha2_state *s, unsigned char *out)
{
	(void)SHA384_Final(out, &s->s512);
}

static const struct sha2 sha256 = {
	"SHA2-256", SHA256_DIGEST_LENGTH, SHA256_CBLOCK, init256, add256, end256,
};
static const struct sha2 sha384 = {
	"SHA2-384", SHA384_DIGEST_LENGTH, SHA512_CBLOCK, init384, add384, end384,
};

const struct sha2 *sha2_by_name(const char *name)
{
	static const struct {
		const char *name;
		const struct sha2 *digest;
	} names[] = {
		{"SHA2-256", &sha256}, {"SHA256", &sha256}, {"SHA-256", &sha256},
		{"SHA2-384", &sha384}, {"SHA384", &sha384}, {"SHA-384", &sha384},
	};

	for (size_t i = 0; i < array_len(names); i++)
		if (strcasecmp(names[i].name, name) == 0)
			return names[i].digest;
	return NULL;
}

void sha2_digest(const struct sha2 *d, struct str bytes, unsigned char *out)
{
	union sha2_state s;

	d->init(&s);
	d->add(&s, bytes.ptr, bytes.len);
	d->end(&s, out);
	OPENSSL_cleanse(&s, sizeof(s));
}

static void keyed_state(const struct sha2 *d, const unsigned char *block, unsigned char pad,
			union sha2_state *out)
{
	unsigned char padded[HMAC_BLOCK_MAX];

	for (size_t i = 0; i < d->block; i++)
		padded[i] = block[i] ^ pad;
	d->init(out);
	d->add(out, padded, d->block);
	OPENSSL_cleanse(padded, sizeof(padded));
}

void hmac_set_key(struct hmac *h, const struct sha2 *d, struct str key)
{
	unsigned char block[HMAC_BLOCK_MAX] = {0};

	if (key.len > d->block)
		sha2_digest(d, key, block);
	else if (key.len > 0)
		memcpy(block, key.ptr, key.len);
	h->digest = d;
	keyed_state(d, block, 0x36, &h->inner);
	keyed_state(d, block, 0x5c, &h->outer);
	OPENSSL_cleanse(block, sizeof(block));
	hmac_start(h);
}

void hmac_start(struct hmac *h)
{
	h->running = h->inner;
}

void hmac_add(struct hmac *h, struct str bytes)
{
	h->digest->add(&h->running, bytes.ptr, bytes.len);
}

void hmac_end(struct hmac *h, unsigned char *out)
{
	unsigned char inner[HMAC_SIZE_MAX];

	h->digest->end(&h->running, inner);
	h->running = h->outer;
	h->digest->add(&h->running, inner, h->digest->size);
	h->digest->end(&h->running, out);
	OPENSSL_cleanse(inner, sizeof(inner));
}
