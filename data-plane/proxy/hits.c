#include "data-plane/proxy/hits.h"

#include <string.h>

void hits_init(struct hits *h, struct loop *to,
	       void (*deliver)(const struct hit *h, size_t n, void *arg), void *arg)
{
	memset(h, 0, sizeof(*h));
	h->to = to;
	h->deliver = deliver;
	h->arg = arg;
	atomic_init(&h->in_flight, false);
}

void hits_add(struct hits *h, const unsigned char challenge_id[HITS_ID_SIZE])
{
	for (size_t i = 0; i < h->count; i++) {
		if (memcmp(h->items[i].challenge_id, challenge_id, HITS_ID_SIZE) == 0) {
			if (h->items[i].count < UINT32_MAX)
				h->items[i].count++;
			return;
		}
	}
	if (h->count == HITS_MAX) {
		h->dropped++;
		return;
	}
	memcpy(h->items[h->count].challenge_id, challenge_id, HITS_ID_SIZE);
	h->items[h->count++].count = 1;
}

/* thread: the sync thread */
static void on_sent(void *arg)
{
	struct hits *h = arg;

	h->deliver(h->sent, h->sent_count, h->arg);
	atomic_store_explicit(&h->in_flight, false, memory_order_release);
}

void hits_flush(struct hits *h)
{
	struct err e = ERR_INIT;

	if (h->count == 0 || atomic_load_explicit(&h->in_flight, memory_order_acquire))
		return;
	memcpy(h->sent, h->items, h->count * sizeof(h->items[0]));
	h->sent_count = h->count;
	atomic_store_explicit(&h->in_flight, true, memory_order_relaxed);
	if (loop_post(h->to, on_sent, h, &e) == 0)
		h->count = 0;
	else /* out of memory: again at the next turn */
		atomic_store_explicit(&h->in_flight, false, memory_order_relaxed);
}
