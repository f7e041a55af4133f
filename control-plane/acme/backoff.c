#include "control-plane/acme/backoff.h"

#include <openssl/rand.h>

#include "common/core/clock.h"

enum { POLL_FIRST_MS = 10, POLL_MAX_MS = 5000, POLL_HINT_MAX_MS = 15000 };
enum { RETRY_AFTER_MAX_S = 30 * 24 * 3600 };

static const double jitter_share = 0.1;

uint64_t backoff_ms(const struct backoff *b, unsigned attempt, double by_chance)
{
	uint64_t d = b->base_ms;
	uint64_t wait;

	for (unsigned i = 1; i < attempt && d < b->cap_ms; i++)
		d *= b->factor;
	if (d > b->cap_ms)
		d = b->cap_ms;
	wait = (uint64_t)((double)d * by_chance);
	return wait < BACKOFF_FLOOR_MS ? BACKOFF_FLOOR_MS : wait;
}

uint64_t backoff_poll_ms(unsigned n, int64_t retry_after_ms)
{
	uint64_t d = POLL_FIRST_MS;

	for (unsigned i = 0; i < n && d < POLL_MAX_MS; i++)
		d *= 2;
	if (d > POLL_MAX_MS)
		d = POLL_MAX_MS;
	if (retry_after_ms > POLL_HINT_MAX_MS)
		return POLL_HINT_MAX_MS;
	return retry_after_ms > (int64_t)d ? (uint64_t)retry_after_ms : d;
}

int retry_after_parse(struct str text, int64_t now_s, int64_t *ms, struct err *e)
{
	struct str t = str_trim(text);
	uint64_t delta = 0;
	int64_t at = 0;

	if (str_u64(t, &delta) != 0) {
		if (clock_parse_http_date(t, &at, e) != 0)
			return -1;
		delta = at > now_s ? (uint64_t)(at - now_s) : 0;
	}
	if (delta > RETRY_AFTER_MAX_S)
		delta = RETRY_AFTER_MAX_S;
	*ms = (int64_t)delta * 1000;
	return 0;
}

int64_t renewal_time_ms(int64_t not_before_s, int64_t not_after_s, double fraction,
			double by_chance)
{
	double lifetime = (double)(not_after_s - not_before_s);
	double left = lifetime > 0 ? lifetime * fraction : 0;

	return not_after_s * 1000 - (int64_t)(1000 * left * (1 + jitter_share * by_chance));
}

int64_t renewal_pause_ms(int64_t not_before_s, int64_t not_after_s, int64_t now_s)
{
	int64_t share = (not_after_s - not_before_s) * 1000 / 10;
	int64_t left = (not_after_s - now_s) * 1000 / 2;
	int64_t pause = share < left ? share : left;

	return pause > 0 ? pause : 0;
}

double chance(void)
{
	unsigned char bytes[4] = {0};

	/* Without randomness: the middle; jitter is a courtesy, not a secret. */
	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return 0.5;
	return ((double)bytes[0] + (double)bytes[1] * 256 + (double)bytes[2] * 65536 +
		(double)bytes[3] * 16777216) /
	       4294967296.0;
}
