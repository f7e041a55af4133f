#include <stddef.h>

#include "tests/ca/ca.h"

struct knob {
	const char *name;
	size_t offset;
	int64_t start, least, most;
};
#define KNOB(field, start, least, most)                                                            \
	{                                                                                          \
#field, offsetof(struct ca_settings, field), start, least, most                    \
	}
enum { DAY_S = 86400, TIME_MAX_S = 400 * DAY_S, COUNT_MAX = 1 << 30 };
/* Limits begin switched off; their periods are Let's Encrypt's. */
static const struct knob knobs[] = {
	KNOB(validity_s, 90 * DAY_S, 1, TIME_MAX_S),
	KNOB(backdate_s, 0, 0, TIME_MAX_S),
	KNOB(perspectives, 3, 1, CA_ADDRESSES_MAX),
	KNOB(validate_ms, 0, 0, 600000),
	KNOB(issue_ms, 0, 0, 600000),
	KNOB(sync_issue, 0, 0, 1),
	KNOB(retry_after_s, 0, 0, TIME_MAX_S),
	KNOB(retry_after_order_s, 0, 0, TIME_MAX_S),
	KNOB(retry_after_date, 0, 0, 1),
	KNOB(eab_required, 0, 0, 1),
	KNOB(tos_required, 1, 0, 1),
	KNOB(authz_reuse, 0, 0, 1),
	KNOB(authz_life_s, 3600, 1, TIME_MAX_S),
	KNOB(order_reuse, 0, 0, 1),
	KNOB(order_life_s, DAY_S, 1, TIME_MAX_S),
	KNOB(alternates, 0, 0, CA_ALTERNATES_MAX),
	KNOB(nonce_reject, 0, 0, 99),
	KNOB(ari, 1, 0, 1),
	KNOB(ari_retry_after_s, 21600, 0, TIME_MAX_S),
	KNOB(limit_accounts, 0, 0, COUNT_MAX),
	KNOB(limit_accounts_s, 3 * 3600, 1, TIME_MAX_S),
	KNOB(limit_orders, 0, 0, COUNT_MAX),
	KNOB(limit_orders_s, 3 * 3600, 1, TIME_MAX_S),
	KNOB(limit_domain, 0, 0, COUNT_MAX),
	KNOB(limit_domain_s, 7 * DAY_S, 1, TIME_MAX_S),
	KNOB(limit_set, 0, 0, COUNT_MAX),
	KNOB(limit_set_s, 7 * DAY_S, 1, TIME_MAX_S),
	KNOB(limit_failures, 0, 0, COUNT_MAX),
	KNOB(limit_failures_s, 3600, 1, TIME_MAX_S),
	KNOB(pause_after, 0, 0, COUNT_MAX),
};
#undef KNOB

static int64_t *place(struct ca_settings *s, const struct knob *k)
{
	return (int64_t *)(void *)((char *)s + k->offset);
}

void ca_settings_init(struct ca_settings *s)
{
	for (size_t i = 0; i < array_len(knobs); i++)
		*place(s, &knobs[i]) = knobs[i].start;
}

int ca_settings_put(struct ca_settings *s, const char *name, int64_t value, struct err *e)
{
	for (size_t i = 0; i < array_len(knobs); i++) {
		const struct knob *k = &knobs[i];

		if (!str_eq(str_from(k->name), str_from(name)))
			continue;
		if (value < k->least || value > k->most)
			return err_set(e, ERR_INVALID, "%s: from %lld to %lld", name,
				       (long long)k->least, (long long)k->most);
		*place(s, k) = value;
		return 0;
	}
	return err_set(e, ERR_INVALID, "no setting %s", name);
}

json_t *ca_settings_json(const struct ca_settings *s)
{
	struct ca_settings copy = *s;
	json_t *o = json_object();

	for (size_t i = 0; i < array_len(knobs); i++)
		json_object_set_new(o, knobs[i].name, json_integer(*place(&copy, &knobs[i])));
	return o;
}
