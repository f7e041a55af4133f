/* How issuance on demand begins and ends: its configuration, its metrics. */
#include <stdlib.h>

#include "control-plane/acme/on_demand_internal.h"
#include "control-plane/acme/url.h"

enum { ASK_CONNECT_MS = 5000, ASK_BODY_MAX = 4096 };

int on_demand_check(const struct on_demand_conf *c, struct err *e)
{
	struct on_demand_limits limits;
	struct err why = ERR_INIT;

	if (c->domains && on_demand_domains_check(str_from(c->domains), e) != 0)
		return err_prefix(e, "acme_on_demand_domains");
	if (c->ask && url_gate_own(str_from(c->ask), &why) != 0)
		return err_set(e, ERR_INVALID, "acme_on_demand_ask: %s", why.message);
	if (c->limits && on_demand_limits_parse(&limits, str_from(c->limits), e) != 0)
		return err_prefix(e, "acme_on_demand_limits");
	return 0;
}

static int make_metrics(struct on_demand *d, struct metrics *m, struct err *e)
{
	static const char *const labels[] = {"result", NULL};
	struct metric_family *results, *deciding;

	if (!m)
		return 0;
	results = metrics_family(m, METRIC_COUNTER, "cardea_acme_on_demand_total",
				 "Names that data planes wanted a certificate for, by what became "
				 "of it.",
				 labels, NULL, 0);
	deciding = metrics_family(m, METRIC_GAUGE, "cardea_acme_on_demand_deciding",
				  "Names that are being decided on.", NULL, NULL, 0);
	for (size_t i = 0; results && i < OUTCOMES; i++) {
		d->results[i] = metrics_series(results, &on_demand_outcomes[i]);
		if (!d->results[i])
			return err_memory(e, "metrics of issuance on demand");
	}
	d->deciding = deciding ? metrics_series(deciding, NULL) : NULL;
	return results && d->deciding ? 0 : err_memory(e, "metrics of issuance on demand");
}

static int copy_conf(struct on_demand *d, const struct on_demand_conf *c, struct err *e)
{
	d->conf = *c;
	d->conf.limits = NULL;
	d->conf.domains = c->domains ? str_dup(str_from(c->domains)) : NULL;
	d->conf.ask = c->ask ? str_dup(str_from(c->ask)) : NULL;
	if ((c->domains && !d->conf.domains) || (c->ask && !d->conf.ask))
		return err_memory(e, "issuance on demand");
	return on_demand_limits_parse(&d->limits, str_from(c->limits ? c->limits : ""), e);
}

static int make_fetcher(struct on_demand *d, struct err *e)
{
	const struct fetcher_conf conf = {
		.own = true,
		.connect_timeout_ms = d->conf.ask_timeout_ms < ASK_CONNECT_MS
					      ? d->conf.ask_timeout_ms
					      : ASK_CONNECT_MS,
		.timeout_ms = d->conf.ask_timeout_ms,
		.body_max = ASK_BODY_MAX,
	};

	if (!d->conf.ask)
		return 0;
	if (fetcher_create(&d->fetcher, d->loop, &conf, e) != 0)
		return -1;
	d->open++;
	return 0;
}

static void on_fetcher_closed(void *arg)
{
	on_demand_release(arg);
}

static void close_asked(struct on_demand *d)
{
	size_t pos = 0;
	void *value;
	struct str key;

	/* Those with a query end when its answer comes. */
	while (map_next(&d->wants, &pos, &key, &value)) {
		struct want *w = value;

		if (!w->fetch)
			continue;
		fetch_cancel(w->fetch);
		on_demand_forget(w);
	}
}

/* Stopping: who asks now asks another control plane, on its next stream. */
static void ignore(const struct fleet_want *f, void *arg)
{
	(void)f;
	(void)arg;
}

void on_demand_close(struct on_demand *d, void (*closed)(void *arg), void *arg)
{
	d->closing = true;
	d->closed = closed;
	d->closed_arg = arg;
	fleet_on_want(d->fleet, ignore, NULL);
	close_asked(d);
	if (d->fetcher)
		fetcher_close(d->fetcher, on_fetcher_closed, d);
	on_demand_release(d);
}

int on_demand_start(struct on_demand **out, struct loop *l, struct store *s, struct fleet *f,
		    struct acme *a, const struct on_demand_conf *c, struct err *e)
{
	struct on_demand *d;

	*out = NULL;
	if (!c->domains && !c->ask)
		return 0;
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_memory(e, "issuance on demand");
	d->loop = l;
	d->store = s;
	d->fleet = f;
	d->acme = a;
	d->open = 1;
	map_init(&d->wants);
	if (copy_conf(d, c, e) != 0 || make_metrics(d, c->metrics, e) != 0 ||
	    make_fetcher(d, e) != 0) {
		on_demand_close(d, NULL, NULL);
		return -1;
	}
	fleet_on_want(f, on_demand_want, d);
	*out = d;
	return 0;
}
