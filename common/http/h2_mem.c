#include "common/http/h2_mem.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define KEPT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEPT 0
#endif
#endif
#ifndef KEPT
#define KEPT H2_MEM_KEPT
#endif

/* In front of what nghttp2 gets. */
struct h2_piece {
	size_t size;	       /* behind it; more than H2_MEM_LARGEST: exactly what was asked for */
	struct h2_piece *next; /* while it is kept */
};
static_assert(sizeof(struct h2_piece) % 16 == 0, "what is behind it is aligned");

static struct h2_piece **list_of(struct h2_mem *m, size_t size)
{
	return &m->kept[size / H2_MEM_STEP - 1];
}

static size_t rounded(size_t n)
{
	if (n > H2_MEM_LARGEST)
		return n;
	return n == 0 ? H2_MEM_STEP : (n + H2_MEM_STEP - 1) / H2_MEM_STEP * H2_MEM_STEP;
}

static void *take(size_t n, void *arg)
{
	struct h2_mem *m = arg;
	size_t size = rounded(n);
	struct h2_piece *p = size <= H2_MEM_LARGEST ? *list_of(m, size) : NULL;

	if (p) {
		*list_of(m, size) = p->next;
		m->bytes -= size;
		return p + 1;
	}
	p = size <= SIZE_MAX - sizeof(*p) ? malloc(sizeof(*p) + size) : NULL;
	if (!p)
		return NULL;
	p->size = size;
	return p + 1;
}

static void give(void *ptr, void *arg)
{
	struct h2_mem *m = arg;
	struct h2_piece *p = ptr;

	if (!p)
		return;
	p--;
	if (p->size > H2_MEM_LARGEST || m->bytes + p->size > KEPT) {
		free(p);
		return;
	}
	p->next = *list_of(m, p->size);
	*list_of(m, p->size) = p;
	m->bytes += p->size;
}

static void *take_zeroed(size_t count, size_t size, void *arg)
{
	void *ptr = size == 0 || count <= SIZE_MAX / size ? take(count * size, arg) : NULL;

	return ptr ? memset(ptr, 0, count * size) : NULL;
}

static void *resize(void *ptr, size_t n, void *arg)
{
	struct h2_piece *p = ptr;
	void *to;

	if (p && n <= p[-1].size)
		return ptr;
	to = take(n, arg);
	if (!to || !p)
		return to;
	memcpy(to, p, p[-1].size);
	give(p, arg);
	return to;
}

void h2_mem_deinit(struct h2_mem *m)
{
	for (size_t size = H2_MEM_STEP; size <= H2_MEM_LARGEST; size += H2_MEM_STEP) {
		struct h2_piece **list = list_of(m, size);

		while (*list) {
			struct h2_piece *p = *list;

			*list = p->next;
			free(p);
		}
	}
	m->bytes = 0;
}

nghttp2_mem h2_mem_hooks(struct h2_mem *m)
{
	return (nghttp2_mem){m, take, give, take_zeroed, resize};
}
