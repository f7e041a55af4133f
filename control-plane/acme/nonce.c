#include "control-plane/acme/nonce.h"

#include "common/core/clock.h"

void nonce_pool_init(struct nonce_pool *p)
{
	p->newest = 0;
	p->count = 0;
}

void nonce_put(struct nonce_pool *p, struct str nonce)
{
	struct nonce *n;

	if (!message_nonce_ok(nonce))
		return;
	p->newest = (p->newest + 1) % NONCE_POOL_MAX;
	if (p->count < NONCE_POOL_MAX)
		p->count++;
	n = &p->items[p->newest];
	memcpy(n->text, nonce.ptr, nonce.len);
	n->text[nonce.len] = '\0';
	n->at_ns = clock_mono_ns();
}

bool nonce_ready(struct nonce_pool *p)
{
	const struct nonce *n = &p->items[p->newest];

	if (p->count == 0)
		return false;
	if (clock_mono_ns() - n->at_ns > NONCE_AGE_MAX_S * UINT64_C(1000000000)) {
		nonce_pool_clear(p); /* the others are older still */
		return false;
	}
	return true;
}

bool nonce_take(struct nonce_pool *p, char out[ACME_NONCE_SIZE])
{
	const struct nonce *n = &p->items[p->newest];

	if (!nonce_ready(p))
		return false;
	memcpy(out, n->text, sizeof(n->text));
	p->newest = (p->newest + NONCE_POOL_MAX - 1) % NONCE_POOL_MAX;
	p->count--;
	return true;
}

void nonce_pool_clear(struct nonce_pool *p)
{
	p->count = 0;
}
