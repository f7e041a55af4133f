#include "data-plane/tls/parsed.h"

#include <stdlib.h>

#include "common/core/list.h"
#include "common/pki/key.h"
#include "common/pki/signer.h"
#include "common/pki/staple.h"

enum { CHAINS_MAX = 64, BUCKETS_MIN = 16 };

struct item {
	struct link lru;   /* of cache->lru, most recent first */
	struct item *next; /* in its bucket */
	uint64_t serial;
	struct parsed_cert cert;
};

/* Few chains serve nearly all certificates. */
struct chain_item {
	uint64_t serial; /* 0: free */
	uint64_t used;	 /* of cache->clock */
	STACK_OF(X509) * chain;
};

struct parsed_cache {
	struct item **buckets;
	size_t mask, max;
	struct link lru;
	struct chain_item chains[CHAINS_MAX];
	struct signer *signer; /* of P-256 certificates, which nearly all are */
	uint64_t clock;
	struct parsed_stats stats;
};

int parsed_cache_create(struct parsed_cache **out, size_t max, struct err *e)
{
	struct parsed_cache *c = calloc(1, sizeof(*c));
	size_t buckets = BUCKETS_MIN;

	if (!c)
		return err_memory(e, "making the cache of parsed certificates");
	while (buckets < max)
		buckets *= 2;
	c->max = max > 0 ? max : 1;
	c->mask = buckets - 1;
	list_init(&c->lru);
	c->buckets = calloc(buckets, sizeof(struct item *));
	if (!c->buckets) {
		free(c);
		return err_memory(e, "making the cache of parsed certificates");
	}
	if (signer_create(&c->signer, e) != 0) {
		free(c->buckets);
		free(c);
		return -1;
	}
	*out = c;
	return 0;
}

static void parts_free(struct parsed_cert *p)
{
	for (size_t i = 0; i < p->count; i++) {
		X509_free(p->parts[i].leaf);
		EVP_PKEY_free(p->parts[i].key);
		sk_X509_pop_free(p->parts[i].chain, X509_free);
		buf_deinit(&p->parts[i].staple);
	}
}

static struct item **bucket_of(struct parsed_cache *c, uint64_t serial)
{
	return &c->buckets[(serial * 0x9e3779b97f4a7c15ULL >> 32) & c->mask];
}

static void item_free(struct parsed_cache *c, struct item *it)
{
	struct item **at = bucket_of(c, it->serial);

	while (*at != it)
		at = &(*at)->next;
	*at = it->next;
	list_remove(&it->lru);
	parts_free(&it->cert);
	free(it);
	c->stats.count--;
}

void parsed_cache_free(struct parsed_cache *c)
{
	if (!c)
		return;
	while (!list_empty(&c->lru))
		item_free(c, container_of(list_first(&c->lru), struct item, lru));
	for (size_t i = 0; i < CHAINS_MAX; i++)
		sk_X509_pop_free(c->chains[i].chain, X509_free);
	signer_free(c->signer);
	free(c->buckets);
	free(c);
}

static STACK_OF(X509) * chain_parse(const struct cert_chain *chain, struct err *e)
{
	STACK_OF(X509) *out = sk_X509_new_reserve(NULL, (int)chain->count);

	if (!out)
		goto fail;
	for (size_t i = 0; i < chain->count; i++) {
		const unsigned char *p = (const unsigned char *)chain->ders[i].ptr;
		X509 *x = d2i_X509(NULL, &p, (long)chain->ders[i].len);

		if (!x || sk_X509_push(out, x) <= 0) {
			X509_free(x);
			goto fail;
		}
	}
	return out;
fail:
	err_openssl(e, ERR_INTERNAL, "chain of a certificate");
	sk_X509_pop_free(out, X509_free);
	return NULL;
}

/* A new stack of the shared, parsed certificates. */
static int chain_get(struct parsed_cache *c, const struct cert_chain *chain, STACK_OF(X509) * *out,
		     struct err *e)
{
	struct chain_item *at = &c->chains[0];

	*out = NULL;
	if (!chain)
		return 0;
	for (size_t i = 0; i < CHAINS_MAX; i++) {
		struct chain_item *it = &c->chains[i];

		if (it->serial == chain->serial) {
			at = it;
			break;
		}
		if (it->used < at->used)
			at = it;
	}
	if (at->serial != chain->serial) {
		STACK_OF(X509) *parsed = chain_parse(chain, e);

		if (!parsed)
			return -1;
		sk_X509_pop_free(at->chain, X509_free);
		at->chain = parsed;
		at->serial = chain->serial;
	}
	at->used = ++c->clock;
	*out = X509_chain_up_ref(at->chain);
	return *out ? 0 : err_memory(e, "sharing a chain");
}

/* Keys of any kind, by OpenSSL's decoders. */
static int pair_parse(struct parsed_part *out, const struct cert_part *in, struct err *e)
{
	const unsigned char *p = in->leaf;

	out->leaf = d2i_X509(NULL, &p, (long)in->leaf_len);
	if (!out->leaf)
		return err_openssl(e, ERR_INTERNAL, "packed leaf");
	if (key_from_der(&out->key, (struct str){(const char *)in->key, in->key_len}, e) != 0)
		return err_prefix(e, "packed key");
	return 0;
}

/* One that cannot be read is as if there were none. */
static int staple_parse(struct parsed_part *out, const struct cert_part *in, struct err *e)
{
	const struct str staple = {(const char *)in->staple, in->staple_len};

	if (staple.len == 0 ||
	    staple_span(staple, &out->staple_from, &out->staple_until, NULL) != 0)
		return 0;
	return buf_add_str(&out->staple, staple, e);
}

static int part_parse(struct parsed_cache *c, struct parsed_part *out, const struct cert_part *in,
		      struct err *e)
{
	const struct str leaf = {(const char *)in->leaf, in->leaf_len};
	const struct str key = {(const char *)in->key, in->key_len};
	struct err refused = ERR_INIT;

	if ((!signer_takes(key) ||
	     signer_load(c->signer, leaf, key, &out->leaf, &out->key, &refused) != 0) &&
	    pair_parse(out, in, e) != 0)
		return -1;
	if (staple_parse(out, in, e) != 0)
		return -1;
	return chain_get(c, in->chain, &out->chain, e);
}

static struct item *item_make(struct parsed_cache *c, const struct cert *cert, struct err *e)
{
	struct item *it = calloc(1, sizeof(*it));

	if (!it) {
		err_memory(e, "parsing a certificate");
		return NULL;
	}
	it->serial = cert->serial;
	for (size_t i = 0; i < cert->count; i++) {
		it->cert.count = i + 1;
		if (part_parse(c, &it->cert.parts[i], &cert->parts[i], e) != 0) {
			parts_free(&it->cert);
			free(it);
			return NULL;
		}
	}
	return it;
}

int parsed_cache_get(struct parsed_cache *c, const struct cert *cert,
		     const struct parsed_cert **out, struct err *e)
{
	struct item **bucket = bucket_of(c, cert->serial);
	struct item *it = *bucket;

	while (it && it->serial != cert->serial)
		it = it->next;
	if (it) {
		c->stats.hits++;
		list_remove(&it->lru);
	} else {
		c->stats.misses++;
		it = item_make(c, cert, e);
		if (!it)
			return -1;
		if (c->stats.count >= c->max)
			item_free(c, container_of(list_last(&c->lru), struct item, lru));
		it->next = *bucket;
		*bucket = it;
		c->stats.count++;
	}
	list_push_front(&c->lru, &it->lru);
	*out = &it->cert;
	return 0;
}

void parsed_cache_stats(const struct parsed_cache *c, struct parsed_stats *out)
{
	*out = c->stats;
}
