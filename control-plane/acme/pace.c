#include "control-plane/acme/pace.h"

#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"

static const uint64_t token_age_max_ns = UINT64_C(1000000000);
enum { SHARE = 8 }; /* at most this part of the burst at once: others want some too */

int pace_init(struct pace *p, struct store *s, const struct limit *l, enum limit_kind k,
	      const char *egress, const char *directory, void (*ready)(void *arg), void *arg,
	      struct err *e)
{
	struct buf key = {.limit = sizeof(p->key) - 1};

	*p = (struct pace){.store = s, .limit = *l, .ready = ready, .arg = arg};
	if (limit_key(&key, k, str_from(egress), directory, e) != 0) {
		buf_deinit(&key);
		return -1;
	}
	memcpy(p->key, key.data, key.len + 1);
	buf_deinit(&key);
	return 0;
}

static void on_reserved(const struct store_result *r, void *arg)
{
	struct pace *p = arg;
	const json_t *row = json_array_get(r->rows, 0);
	double wait_s = json_number_value(json_object_get(row, "wait"));

	p->outstanding--;
	p->asking = false;
	if (p->closing) {
		p->closed(p->arg);
		return;
	}
	if (r->fault != STORE_OK) {
		log_warn("the rate of requests cannot be reserved", log_err(&r->err));
		p->next_ns = clock_mono_ns() + token_age_max_ns;
	} else if (wait_s > 0) {
		p->next_ns = clock_mono_ns() + (uint64_t)(wait_s * 1e9);
	} else {
		p->tokens = (unsigned)json_integer_value(json_object_get(row, "took"));
		p->tokens_at_ns = clock_mono_ns();
	}
	p->ready(p->arg);
}

static void reserve(struct pace *p, unsigned queued)
{
	unsigned want = queued, most = p->limit.burst / SHARE;
	char take[16], every[32], burst[16];
	const char *params[] = {p->key, take, every, burst};

	if (want > most)
		want = most;
	if (want == 0)
		want = 1;
	snprintf(take, sizeof(take), "%u", want);
	snprintf(every, sizeof(every), "%.9f", p->limit.every_s);
	snprintf(burst, sizeof(burst), "%u", p->limit.burst);
	p->asking = true;
	p->outstanding++;
	store_query(p->store,
		    "SELECT wait, $2::integer AS took FROM acme_reserve(jsonb_build_array("
		    "jsonb_build_object('id', 'pace', 'keys', jsonb_build_array("
		    "jsonb_build_object('key', $1::text, 'take', $2::integer, 'every', $3::float8, "
		    "'burst', $4::integer)))))",
		    params, array_len(params), on_reserved, p);
}

bool pace_take(struct pace *p, unsigned queued)
{
	uint64_t now = clock_mono_ns();

	if (p->limit.every_s <= 0)
		return true;
	if (p->tokens > 0 && now - p->tokens_at_ns <= token_age_max_ns) {
		p->tokens--;
		return true;
	}
	if (!p->asking && !p->closing && now >= p->next_ns)
		reserve(p, queued);
	return false;
}

uint64_t pace_wait_ms(const struct pace *p)
{
	uint64_t now = clock_mono_ns();

	return p->asking || p->next_ns <= now ? 0 : (p->next_ns - now) / 1000000 + 1;
}

bool pace_close(struct pace *p, void (*closed)(void *arg))
{
	p->closing = true;
	p->closed = closed;
	return p->outstanding > 0;
}
