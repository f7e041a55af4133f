/* Records that no order has any more leave DNS: those that are due are claimed by one control plane
 * (their next attempt moves on), removed, and their rows deleted. What cannot be removed is tried
 * again after 2, 4, 8 ... seconds up to an hour; after a week it is given up, and told. */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/log.h"
#include "control-plane/acme/dns01_internal.h"

enum { CLAIM_MAX = 8, NUMBER_SIZE = 24 };

/* Due, and no order has it. */
#define ORPHAN                                                                                     \
	"r.next_attempt <= now() AND NOT EXISTS (SELECT 1 FROM acme_orders o WHERE o.id = "        \
	"r.order_id AND o.authorizations @> jsonb_build_array(jsonb_build_object("                 \
	"'challenge_id', r.id::text)))"

/* $1: so many; $2: milliseconds that removing them takes at most. Whose place is not known was
 * never set. */
static const char claim_sql[] =
	"WITH unset AS (DELETE FROM acme_dns_records r WHERE r.target IS NULL AND " ORPHAN "), due "
	"AS (SELECT r.id FROM acme_dns_records r WHERE r.target IS NOT NULL AND " ORPHAN
	" ORDER BY r.next_attempt LIMIT $1::bigint FOR UPDATE OF r SKIP LOCKED) UPDATE "
	"acme_dns_records r SET attempts = attempts + 1, next_attempt = now() + $2::bigint * "
	"interval '1 millisecond' FROM due WHERE r.id = due.id RETURNING r.id, r.name, r.value, "
	"r.target, r.zone";

static const char settle_sql[] =
	"WITH given AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS g (id uuid, removed "
	"boolean)), gone AS (DELETE FROM acme_dns_records r USING given g WHERE r.id = g.id AND "
	"(g.removed OR r.created_at < now() - interval '7 days') RETURNING g.removed, r.target), "
	"again AS (UPDATE acme_dns_records r SET next_attempt = now() + least(power(2, "
	"least(attempts, 12)), 3600) * interval '1 second' FROM given g WHERE r.id = g.id AND NOT "
	"g.removed) SELECT target FROM gone WHERE NOT removed";

static void end(struct dns01_job *j)
{
	j->acme->dns01.sweep = NULL;
	dns01_job_free(j);
}

static void on_settled(const struct store_result *r, void *arg)
{
	struct dns01_job *j = arg;
	const json_t *row;
	size_t i;

	if (!dns01_awoke(j))
		return;
	if (r->fault != STORE_OK)
		log_warn("records of dns-01 cannot be settled: they are removed again",
			 log_err(&r->err));
	json_array_foreach(r->rows, i, row)
	{
		dns01_count(j->acme, DNS01_GIVEN_UP, 1);
		log_error("a record of dns-01 could not be removed for a week: remove it by hand",
			  log_str("name", json_string_value(json_object_get(row, "target"))));
	}
	end(j);
}

static char *outcome(const struct dns01_job *j)
{
	json_t *rows = json_array();
	char *text = NULL;
	size_t i = 0;

	while (rows && i < j->count &&
	       json_array_append_new(rows, json_pack("{s:s, s:b}", "id", j->records[i].id,
						     "removed", j->records[i].done)) == 0)
		i++;
	if (rows && i == j->count)
		text = json_dumps(rows, JSON_COMPACT);
	json_decref(rows);
	return text;
}

static void settle(struct dns01_job *j)
{
	char *rows;
	const char *params[1];

	for (size_t i = 0; i < j->count; i++) {
		const struct dns01_record *r = &j->records[i];

		dns01_count(j->acme, r->done ? DNS01_REMOVED : DNS01_NOT_REMOVED, 1);
		if (!r->done)
			log_warn("a record of dns-01 cannot be removed yet",
				 log_str("name", r->place.name), log_err(&r->err));
	}
	rows = outcome(j);
	if (!rows) {
		end(j); /* out of memory: they are due again */
		return;
	}
	params[0] = rows;
	dns01_sleep(j);
	store_query(j->acme->store, settle_sql, params, array_len(params), on_settled, j);
	free(rows);
}

static void on_claimed(const struct store_result *r, void *arg)
{
	struct dns01_job *j = arg;
	size_t i;
	const json_t *row;

	if (!dns01_awoke(j))
		return;
	if (r->fault != STORE_OK)
		log_warn("records of dns-01 cannot be read", log_err(&r->err));
	j->count = 0;
	json_array_foreach(r->rows, i, row)
	{
		struct dns01_record *one = &j->records[j->count];

		if (j->count < CLAIM_MAX && dns01_record_load(one, row) == 0)
			j->count++;
	}
	if (j->count > 0)
		dns01_apply(j, settle);
	else
		end(j);
}

void dns01_sweep(struct acme *a)
{
	char claim[NUMBER_SIZE], ms[NUMBER_SIZE];
	const char *params[] = {claim, ms};

	if (a->dns01.sweep || !dns01_given(a))
		return;
	a->dns01.sweep = dns01_job_create(a, CLAIM_MAX);
	if (!a->dns01.sweep)
		return;
	a->dns01.sweep->sweep = true;
	snprintf(claim, sizeof(claim), "%d", CLAIM_MAX);
	snprintf(ms, sizeof(ms), "%llu",
		 (unsigned long long)(a->conf.dns01.timeout_ms * (CLAIM_MAX + 2)));
	dns01_sleep(a->dns01.sweep);
	store_query(a->store, claim_sql, params, array_len(params), on_claimed, a->dns01.sweep);
}

static void on_fetcher_closed(void *arg)
{
	acme_part_closed(arg);
}

/* Jobs of orders are gone with them. */
void dns01_close(struct acme *a)
{
	if (a->dns01.sweep && !a->dns01.sweep->busy)
		dns01_job_free(a->dns01.sweep);
	a->dns01.sweep = NULL;
	if (a->dns01.fetcher)
		fetcher_close(a->dns01.fetcher, on_fetcher_closed, a);
}
