#include "common/http/h2_index.h"

/* Odd, with bits everywhere: spreads what differs over the upper half of the product. */
#define MIX UINT64_C(0x9e3779b97f4a7c15)

static uint64_t word(const char *at)
{
	uint64_t w;

	memcpy(&w, at, sizeof(w));
	return w;
}

static uint64_t half(const char *at)
{
	uint32_t w;

	memcpy(&w, at, sizeof(w));
	return w;
}

/* The upper half of a product has seen all bits, so it is brought down before the next. */
static uint64_t mix(uint64_t h, uint64_t w)
{
	h = (h ^ w) * MIX;
	return h ^ h >> 32;
}

/* Of the length and up to 24 bytes: the beginning, the middle and the end, where values that are
 * counted up or drawn by chance differ. */
static uint32_t digest(struct str s)
{
	uint64_t h = s.len;

	if (s.len > 16)
		h = mix(h, word(s.ptr + s.len / 2 - 4));
	if (s.len >= 8)
		h = mix(mix(h, word(s.ptr)), word(s.ptr + s.len - 8));
	else if (s.len >= 4)
		h = mix(h, half(s.ptr) << 32 | half(s.ptr + s.len - 4));
	else
		for (size_t i = 0; i < s.len; i++)
			h = h << 8 | (unsigned char)s.ptr[i];
	return (uint32_t)(h * MIX >> 32);
}

bool h2_index_worth(struct h2_index *x, struct str name, struct str value)
{
	uint32_t n = digest(name);
	uint16_t tag = (uint16_t)(n | 1);
	uint8_t held = (uint8_t)(digest(value) >> 24);
	struct h2_index_slot *s = &x->slots[(n >> 20) % H2_INDEX_SLOTS];

	/* Two places for each name. */
	if (s->name && s->name != tag)
		s = &x->slots[((n >> 20) % H2_INDEX_SLOTS) ^ 1];
	if (s->name != tag) {
		*s = (struct h2_index_slot){tag, held, H2_INDEX_AGAIN};
		return true;
	}
	if (s->value != held) {
		s->value = held;
		s->again = 0;
		return false;
	}
	if (s->again < H2_INDEX_AGAIN)
		s->again++;
	return s->again == H2_INDEX_AGAIN;
}
