/* Mass replacement: every certificate of an authority, or with a tag, gets a new order, as if its
 * renewal had come; in batches, those that end first before the others. The orders wait in the lane
 * of renewals and draw on the same budgets; per_minute spreads them, so that renewals that are due
 * meanwhile go first. A set of names that has an order at work is left to it. */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/codec.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/renewal_sql.h"

enum { NUMBER_SIZE = 24 };

struct replace {
	struct acme *acme;
	char id[UUID_TEXT_SIZE];
	char *directory, *tag; /* NULL: any */
	unsigned per_minute;   /* 0: all at once */
	uint64_t seen, made;
	store_done done;
	void *arg;
};

/* $1: first authority, $2: directory, $3: tag, $4: the replacement, $5: so many, $6: how many went
 * before, $7: per minute or 0. Its own certificates are not replaced again while it goes on. */
#define KEPT RENEWAL_KEPT("due")
#define MORE ", lane, urgent_at, replacement, events, next_attempt"
#define VALUES                                                                                     \
	", CASE WHEN d.urgent <= now() THEN 0 ELSE 1 END, d.urgent, $4::uuid, "                    \
	"acme_event('replaces', 'mass replacement'), CASE WHEN $7::bigint > 0 THEN now() + "       \
	"(($6::bigint + row_number() OVER (ORDER BY d.not_after) - 1) * 60.0 / $7::bigint) * "     \
	"interval '1 second' ELSE now() END"
#define MADE RENEWAL_INSERT(MORE, "$1", VALUES, "due")
static const char replace_sql[] =
	"WITH due AS (SELECT o.*, o.not_after - (o.not_after - o.renew_at) * 0.15 AS urgent FROM "
	"acme_orders o WHERE o.state = 'valid' AND o.renew_at IS NOT NULL AND o.replacement IS "
	"DISTINCT FROM $4::uuid AND ($2::text IS NULL OR o.ca = $2) AND ($3::text IS NULL OR "
	"EXISTS (SELECT 1 FROM certificates c WHERE c.id = o.certificate_id AND $3 = ANY "
	"(c.tags))) ORDER BY o.not_after LIMIT $5::bigint FOR UPDATE SKIP LOCKED), " KEPT
	", made AS (" MADE "DO NOTHING RETURNING id, renews), cleared AS (UPDATE acme_orders o SET "
	"renew_at = NULL FROM due WHERE o.id = due.id) SELECT due.id, made.id AS made FROM due "
	"LEFT JOIN made ON made.renews = due.id";

static void replace_free(struct replace *p)
{
	free(p->directory);
	free(p->tag);
	free(p);
}

static void batch(struct replace *p, const struct store_note *note);

static void end(struct replace *p, const struct store_result *r)
{
	struct store_result all = *r;

	all.rows = json_pack("[{s:s, s:I, s:I}]", "id", p->id, "orders", (json_int_t)p->made,
			     "skipped", (json_int_t)(p->seen - p->made));
	all.affected = p->made;
	if (r->fault == STORE_OK)
		log_notice("certificates are replaced", log_str("replacement", p->id),
			   log_str("authority", p->directory), log_str("tag", p->tag),
			   log_u64("orders", p->made), log_u64("per_minute", p->per_minute));
	p->done(&all, p->arg);
	json_decref(all.rows);
	replace_free(p);
}

static void on_batch(const struct store_result *r, void *arg)
{
	struct replace *p = arg;
	struct acme *a = p->acme;
	bool awake = acme_awoke(a);

	p->seen += json_array_size(r->rows);
	p->made += schedule_made(r->rows);
	if (r->fault == STORE_OK && awake && json_array_size(r->rows) == RENEW_BATCH) {
		batch(p, NULL);
		return;
	}
	if (awake)
		schedule_kick(a);
	end(p, r);
}

static void batch(struct replace *p, const struct store_note *note)
{
	char limit[NUMBER_SIZE], before[NUMBER_SIZE], pace[NUMBER_SIZE];
	const char *params[] = {
		acme_home(p->acme), p->directory, p->tag, p->id, limit, before, pace};

	snprintf(limit, sizeof(limit), "%d", RENEW_BATCH);
	snprintf(before, sizeof(before), "%llu", (unsigned long long)p->made);
	snprintf(pace, sizeof(pace), "%u", p->per_minute);
	acme_sleep(p->acme);
	store_query_noted(p->acme->store, replace_sql, params, array_len(params), note, on_batch,
			  p);
}

/* By the name that operators call it, or by its directory: certificates of one that is not
 * configured any more are replaced too. */
static const char *directory_of(struct acme *a, const char *issuer)
{
	list_for_each(it, &a->authorities)
	{
		const struct authority_conf *c = &container_of(it, struct authority, link)->conf;

		if (str_eq(str_from(c->name), str_from(issuer)))
			return c->directory;
	}
	return issuer;
}

void acme_replace(struct acme *a, const struct acme_replacement *w, const struct store_note *note,
		  store_done done, void *arg)
{
	struct replace *p = calloc(1, sizeof(*p));
	struct store_result r = {.fault = STORE_FAILED};
	const char *issuer = w->issuer ? directory_of(a, w->issuer) : NULL;

	if (p) {
		p->acme = a;
		p->per_minute = w->per_minute;
		p->done = done;
		p->arg = arg;
		p->directory = issuer ? str_dup(str_from(issuer)) : NULL;
		p->tag = w->tag ? str_dup(str_from(w->tag)) : NULL;
	}
	if (p && uuid_make(p->id, &r.err) == 0 && (!issuer || p->directory) &&
	    (!w->tag || p->tag)) {
		batch(p, note);
		return;
	}
	if (r.err.kind == ERR_NONE)
		err_memory(&r.err, "a mass replacement");
	done(&r, arg);
	if (p)
		replace_free(p);
}
