/* Rate limits in Let's Encrypt's words, as GCRA buckets: the moment at which a bucket is full
 * again. */
#include <string.h>
#include <stdio.h>
#include <time.h>

#include "common/core/clock.h"
#include "common/pki/san.h"
#include "tests/ca/ca.h"

struct bucket {
	int64_t full_ms;
};
struct rule {
	const char *help;
	int64_t count, period_s;
};

static struct bucket *bucket_of(struct ca *ca, const char *key)
{
	struct bucket *b = map_get(&ca->limits, str_from(key));

	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b || map_put(&ca->limits, str_from(key), b, NULL, NULL) != 0)
		abort();
	return b;
}

/* Seconds until one more is allowed; 0: now. take counts it. */
static int64_t wait_s(struct ca *ca, const char *key, const struct rule *r, bool take)
{
	const int64_t now = clock_wall_ms(), each = r->period_s * 1000 / r->count;
	struct bucket *b = bucket_of(ca, key);
	int64_t full = (b->full_ms > now ? b->full_ms : now) + each;

	if (take) {
		b->full_ms = full;
		return 0;
	}
	full -= r->period_s * 1000 + now;
	return full > 0 ? (full + 999) / 1000 : 0;
}

/* what: "too many new orders (300) from this account". */
static bool refused(struct ca_request *q, int64_t wait, const struct rule *r, const char *what)
{
	time_t at = (time_t)(clock_wall_s() + wait);
	struct tm tm;
	char when[32] = "";

	if (wait <= 0)
		return false;
	gmtime_r(&at, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	q->ca->counts.rate_limited++;
	ca_retry_after(q, wait);
	ca_field(q, "link", "<https://letsencrypt.org/docs/rate-limits>;rel=\"help\"");
	ca_problem(q, 429, "rateLimited",
		   "%s in the last %lldh%lldm%llds, retry after %s UTC: see "
		   "https://letsencrypt.org/docs/rate-limits/#%s",
		   what, (long long)(r->period_s / 3600), (long long)(r->period_s % 3600 / 60),
		   (long long)(r->period_s % 60), when, r->help);
	return true;
}

bool ca_limit_account(struct ca_request *q)
{
	const struct ca_settings *s = &q->ca->settings;
	const struct rule r = {"new-registrations-per-ip-address", s->limit_accounts,
			       s->limit_accounts_s};
	char what[128];

	if (r.count == 0)
		return true;
	snprintf(what, sizeof(what), "too many new registrations (%lld) from this IP address",
		 (long long)r.count);
	if (refused(q, wait_s(q->ca, "accounts", &r, false), &r, what))
		return false;
	wait_s(q->ca, "accounts", &r, true);
	return true;
}

/* The last two labels: the tests' names end that way. */
static const char *registered_domain(const char *name)
{
	const char *at = name + strlen(name);
	unsigned dots = 0;

	while (!san_is_ip(str_from(name)) && at > name && (dots += at[-1] == '.') < 2)
		at--;
	return san_is_ip(str_from(name)) ? name : at;
}

static void failure_key(char *out, size_t size, size_t account, const char *name)
{
	snprintf(out, size, "%zu|%s", account, name);
}

/* Clients open nothing but https; the page itself is on the plain listener (manage.c). */
static bool paused(struct ca_request *q, size_t account, char *const *names, size_t count)
{
	char key[CA_NAME_SIZE + 32];

	for (size_t i = 0; i < count; i++) {
		failure_key(key, sizeof(key), account, names[i]);
		if (!map_get(&q->ca->paused, str_from(key)))
			continue;
		q->ca->counts.rate_limited++;
		ca_problem(
			q, 429, "rateLimited",
			"Your account is temporarily prevented from requesting certificates for "
			"%s and possibly others. Please visit: https%s/sfe/v1/unpause?jwt=%zu.%s",
			names[i], q->ca->manage_base + strlen("http"), account, names[i]);
		return true;
	}
	return false;
}

static bool name_refused(struct ca_request *q, size_t account, const char *name)
{
	const struct ca_settings *s = &q->ca->settings;
	const struct rule domain = {"new-certificates-per-registered-domain", s->limit_domain,
				    s->limit_domain_s};
	const struct rule failures = {"authorization-failures-per-identifier-per-account",
				      s->limit_failures, s->limit_failures_s};
	char key[CA_NAME_SIZE + 64], what[CA_NAME_SIZE + 128];

	if (domain.count) {
		snprintf(key, sizeof(key), "domain|%s", registered_domain(name));
		snprintf(what, sizeof(what),
			 "too many certificates (%lld) already issued for \"%s\"",
			 (long long)domain.count, registered_domain(name));
		if (refused(q, wait_s(q->ca, key, &domain, false), &domain, what))
			return true;
	}
	if (!failures.count)
		return false;
	snprintf(key, sizeof(key), "failures|%zu|%s", account, name);
	snprintf(what, sizeof(what), "too many failed authorizations (%lld) for \"%s\"",
		 (long long)failures.count, name);
	return refused(q, wait_s(q->ca, key, &failures, false), &failures, what);
}

bool ca_limit_order(struct ca_request *q, struct ca_account *account, char *const *names,
		    size_t count, const char *set)
{
	const struct ca_settings *s = &q->ca->settings;
	const struct rule orders = {"new-orders-per-account", s->limit_orders, s->limit_orders_s};
	const struct rule same = {"new-certificates-per-exact-set-of-identifiers", s->limit_set,
				  s->limit_set_s};
	char key[64], what[160];
	struct buf set_key = BUF_INIT;
	bool no = false;

	if (paused(q, account->id, names, count))
		return false;
	snprintf(key, sizeof(key), "orders|%zu", account->id);
	snprintf(what, sizeof(what), "too many new orders (%lld) from this account",
		 (long long)orders.count);
	if (orders.count && refused(q, wait_s(q->ca, key, &orders, false), &orders, what))
		return false;
	for (size_t i = 0; i < count; i++)
		if (name_refused(q, account->id, names[i]))
			return false;
	if (same.count && buf_addf(&set_key, NULL, "set|%s", set) == 0) {
		snprintf(what, sizeof(what),
			 "too many certificates (%lld) already issued for this exact set of "
			 "identifiers",
			 (long long)same.count);
		no = refused(q, wait_s(q->ca, set_key.data, &same, false), &same, what);
	}
	buf_deinit(&set_key);
	if (!no && orders.count)
		wait_s(q->ca, key, &orders, true);
	return !no;
}

void ca_count_issued(struct ca *ca, const struct ca_order *o)
{
	const struct rule domain = {"", ca->settings.limit_domain, ca->settings.limit_domain_s};
	const struct rule same = {"", ca->settings.limit_set, ca->settings.limit_set_s};
	char key[CA_NAME_SIZE + 64];
	struct buf set_key = BUF_INIT;

	for (size_t i = 0; domain.count && i < o->authz_count; i++) {
		snprintf(key, sizeof(key), "domain|%s", registered_domain(o->authzs[i]->name));
		wait_s(ca, key, &domain, true);
	}
	if (same.count && buf_addf(&set_key, NULL, "set|%s", strchr(o->set, '|') + 1) == 0)
		wait_s(ca, set_key.data, &same, true);
	buf_deinit(&set_key);
}

/* --- failures and pauses --- */

void ca_pause(struct ca *ca, size_t account, const char *name)
{
	char key[CA_NAME_SIZE + 32];

	failure_key(key, sizeof(key), account, name);
	if (map_put(&ca->paused, str_from(key), ca, NULL, NULL) != 0)
		abort();
}

static bool listed(const json_t *names, struct str key)
{
	struct str name = str_sub(key, str_find(key, '|', 0) + 1, key.len);
	const json_t *v;
	size_t i;

	json_array_foreach(names, i, v)
	{
		if (str_eq(name, str_from(json_string_value(v))))
			return true;
	}
	return !names;
}

size_t ca_unpause(struct ca *ca, const json_t *names)
{
	size_t pos = 0, n = 0;
	struct str key;
	void *value;

	while (map_next(&ca->paused, &pos, &key, &value)) {
		if (!listed(names, key))
			continue;
		map_remove(&ca->failures, key);
		map_remove(&ca->paused, key);
		n++;
	}
	return n;
}

void ca_count_verdict(struct ca *ca, const struct ca_authz *a)
{
	const struct rule failures = {"", ca->settings.limit_failures,
				      ca->settings.limit_failures_s};
	char key[CA_NAME_SIZE + 64];
	uintptr_t n;

	failure_key(key, sizeof(key), a->account->id, a->name);
	if (a->status == CA_VALID) {
		map_remove(&ca->failures, str_from(key));
		return;
	}
	ca->counts.failed_validations++;
	n = (uintptr_t)map_get(&ca->failures, str_from(key)) + 1;
	if (map_put(&ca->failures, str_from(key), (void *)n, NULL, NULL) != 0)
		abort();
	if (ca->settings.pause_after && n >= (uintptr_t)ca->settings.pause_after)
		ca_pause(ca, a->account->id, a->name);
	snprintf(key, sizeof(key), "failures|%zu|%s", a->account->id, a->name);
	if (failures.count)
		wait_s(ca, key, &failures, true);
}
