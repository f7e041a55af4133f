#include "common/http/h2_guard.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

enum { PREFACE = 24, HEADER = 9 };

static void bucket_init(struct h2_bucket *b, uint32_t burst, uint32_t rate, uint64_t now_ms)
{
	*b = (struct h2_bucket){(uint64_t)burst * 1000, now_ms, burst, rate};
}

/* Takes one; false when there is none left. */
static bool bucket_take(struct h2_bucket *b, uint64_t now_ms)
{
	uint64_t full = (uint64_t)b->burst * 1000;
	uint64_t passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;

	if (passed > full)
		passed = full;
	b->at_ms = now_ms;
	b->left += passed * b->rate;
	if (b->left > full)
		b->left = full;
	if (b->left < 1000)
		return false;
	b->left -= 1000;
	return true;
}

void h2_guard_init(struct h2_guard *g, bool preface, uint64_t now_ms)
{
	memset(g, 0, sizeof(*g));
	bucket_init(&g->resets, H2_RESET_BURST, H2_RESET_RATE, now_ms);
	bucket_init(&g->noise, H2_NOISE_BURST, H2_NOISE_RATE, now_ms);
	g->skip = preface ? (size_t)PREFACE : 0;
	g->updates_left = H2_UPDATES_SPARE;
}

static const char *noise(struct h2_guard *g, uint64_t now_ms)
{
	return bucket_take(&g->noise, now_ms) ? NULL : "H2-06";
}

static const char *on_data_frame(struct h2_guard *g, size_t length, uint64_t now_ms)
{
	bool end = (g->header[4] & NGHTTP2_FLAG_END_STREAM) != 0;

	return length == 0 && !end ? noise(g, now_ms) : NULL;
}

static const char *on_window_update(struct h2_guard *g)
{
	if (g->updates_left == 0)
		return "H2-06";
	g->updates_left--;
	return NULL;
}

/* g->header is whole. */
static const char *on_header(struct h2_guard *g, size_t length, uint64_t now_ms)
{
	switch (g->header[3]) {
	case NGHTTP2_DATA:
		return on_data_frame(g, length, now_ms);
	case NGHTTP2_HEADERS:
		g->continuations = 0;
		return NULL;
	case NGHTTP2_CONTINUATION:
		return ++g->continuations > H2_CONTINUATIONS ? "H2-03" : NULL;
	case NGHTTP2_RST_STREAM:
		return bucket_take(&g->resets, now_ms) ? NULL : "H2-01";
	case NGHTTP2_WINDOW_UPDATE:
		return on_window_update(g);
	case NGHTTP2_GOAWAY:
	case NGHTTP2_PUSH_PROMISE:
		return NULL;
	default: /* PING, SETTINGS, PRIORITY, PRIORITY_UPDATE, unknown */
		return noise(g, now_ms);
	}
}

const char *h2_guard_feed(struct h2_guard *g, struct str bytes, uint64_t now_ms)
{
	const char *p = bytes.ptr;
	size_t left = bytes.len;

	while (left > 0) {
		size_t n = g->skip < left ? g->skip : left;
		const char *broken;
		size_t length;

		p += n;
		left -= n;
		g->skip -= n;
		if (left == 0)
			break;
		n = HEADER - g->have < left ? HEADER - g->have : left;
		memcpy(g->header + g->have, p, n);
		g->have += (unsigned)n;
		p += n;
		left -= n;
		if (g->have < HEADER)
			break;
		g->have = 0;
		length = (size_t)g->header[0] << 16 | (size_t)g->header[1] << 8 | g->header[2];
		g->skip = length;
		broken = on_header(g, length, now_ms);
		if (broken)
			return broken;
	}
	return NULL;
}

const char *h2_guard_reset_sent(struct h2_guard *g, uint64_t now_ms)
{
	return bucket_take(&g->resets, now_ms) ? NULL : "H2-02";
}

void h2_guard_data_sent(struct h2_guard *g)
{
	/* The cap keeps a long download from saving up for a flood. */
	if (g->updates_left < 100 * (uint64_t)H2_UPDATES_SPARE)
		g->updates_left += H2_UPDATES_PER_DATA;
}
