#include "common/net/pool.h"

#include <openssl/crypto.h>
#include <stdlib.h>

struct io_pool *io_pool_create(void)
{
	struct io_pool *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	p->bio = NULL;
	p->spare = NULL;
	p->spare_count = 0;
	return p;
}

void io_pool_free(struct io_pool *p)
{
	if (!p)
		return;
	while (p->spare) {
		struct chunk *c = p->spare;

		p->spare = c->next;
		free(c);
	}
	BIO_meth_free(p->bio);
	/* Requests and keys of peers may be in it. */
	OPENSSL_cleanse(p->plain, sizeof(p->plain));
	OPENSSL_cleanse(p->read, sizeof(p->read));
	free(p);
}

struct chunk *io_pool_chunk(struct io_pool *p)
{
	struct chunk *c = p->spare;

	if (c) {
		p->spare = c->next;
		p->spare_count--;
	} else {
		c = malloc(sizeof(*c));
	}
	if (!c)
		return NULL;
	c->next = NULL;
	c->start = 0;
	c->end = 0;
	return c;
}

void io_pool_put(struct io_pool *p, struct chunk *c)
{
	if (p->spare_count >= POOL_SPARE_MAX) {
		free(c);
		return;
	}
	c->next = p->spare;
	p->spare = c;
	p->spare_count++;
}
