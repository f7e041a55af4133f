/* What came of a batch, in one transaction. Certificates are locked first, in the order of their
 * ids: another control plane's batch may have the other leaf of one of them, and whoever writes a
 * certificate meanwhile goes before or after all of this. */
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/backoff.h"
#include "control-plane/acme/ids.h"
#include "control-plane/acme/renewal_sql.h"
#include "control-plane/acme/stapling_internal.h"

/* A responder that says "revoked" may take it back (certificateHold). */
static const int64_t revoked_again_ms = INT64_C(86400) * 1000;

#define LEAF(alt) "md5(CASE WHEN " alt " THEN c.cert_alt ELSE c.cert END)"

static const char lock_sql[] =
	"SELECT 1 FROM certificates WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE";

/* $1: [{"id","alt","md5","staple" (absent: none any more)}] */
#define PUT_SQL(field, leaf, which)                                                                \
	"UPDATE certificates c SET " field " = r.staple, updated_at = now(), version = "           \
	"nextval('row_versions') FROM jsonb_to_recordset($1::jsonb) AS r (id uuid, alt boolean, "  \
	"md5 text, staple text) WHERE c.id = r.id AND " which " AND md5(c." leaf                   \
	") = r.md5 AND c." field " IS DISTINCT FROM r.staple"
static const char put_sql[] = PUT_SQL("ocsp_response", "cert", "NOT r.alt");
static const char put_alt_sql[] = PUT_SQL("ocsp_response_alt", "cert_alt", "r.alt");

/* $1: those of the rest that are revoked, and were not when it was asked last. */
#define NEWLY                                                                                      \
	"newly AS (SELECT c.id, c.tags, r.alt, r.reason, (SELECT o.id FROM acme_orders o WHERE "   \
	"o.certificate_id = c.id AND o.state = 'valid' AND (o.pair_of IS NOT NULL) = r.alt AND "   \
	"'managed-by-acme' = ANY (c.tags) ORDER BY o.created_at DESC LIMIT 1) AS order_id FROM "   \
	"jsonb_to_recordset($1::jsonb) AS r (id uuid, alt boolean, md5 text, revoked boolean, "    \
	"reason integer) JOIN certificates c ON c.id = r.id JOIN certificate_staples s ON "        \
	"s.certificate = r.id AND s.alt = r.alt WHERE r.revoked AND s.revoked_at IS NULL "         \
	"AND " LEAF("r.alt") " = r.md5)"

static const char notice_sql[] =
	"WITH " NEWLY " INSERT INTO acme_notices (body) SELECT CASE WHEN o.id IS NOT NULL THEN "
	"acme_notice('revoked', o) ELSE jsonb_build_object('event', 'revoked', 'host', n.hosts[1], "
	"'hosts', to_jsonb(n.hosts), 'certificate', n.id) END FROM (SELECT newly.*, ARRAY(SELECT "
	"lower(x.name) FROM snis x WHERE x.certificate = newly.id ORDER BY 1) AS hosts FROM newly) "
	"n LEFT JOIN acme_orders o ON o.id = n.order_id";

/* $2: the first authority. One that we have asked to revoke had its replacement then. */
#define KEPT RENEWAL_KEPT("d")
#define MADE                                                                                       \
	RENEWAL_INSERT(", lane, events", "$2", ", 0, acme_event('replaces', 'revoked, by OCSP')",  \
		       "d")                                                                        \
	RENEWAL_HURRY
static const char replace_sql[] =
	"WITH " NEWLY ", told AS (UPDATE acme_orders o SET revoked_at = now(), revocation_reason = "
	"coalesce(n.reason, 0), renew_at = NULL, ari_next = NULL, events = acme_events(o.events, "
	"acme_event('revoked', 'by OCSP')) FROM newly n WHERE o.id = n.order_id AND o.revoked_at "
	"IS "
	"NULL RETURNING o.certificate_id), d AS (SELECT DISTINCT ON (o.certificate_id) o.* FROM "
	"acme_orders o JOIN told USING (certificate_id) WHERE o.state = 'valid' AND o.pair_of IS "
	"NULL ORDER BY o.certificate_id, o.created_at DESC), " KEPT MADE;

/* $1: [{"id","alt","md5","next" (ms; absent: never),"until","demanded","problem","revoked",
 * "revoked_at","reason"}] */
static const char settle_sql[] =
	"UPDATE certificate_staples s SET next_fetch = now() + r.next * interval '1 millisecond', "
	"attempts = CASE WHEN r.problem IS NULL THEN 0 ELSE s.attempts + 1 END, until = "
	"to_timestamp(r.until), must_staple = r.demanded, problem = r.problem, revoked_at = CASE "
	"WHEN r.revoked THEN coalesce(to_timestamp(nullif(r.revoked_at, 0)), s.revoked_at, now()) "
	"WHEN r.problem IS NOT NULL THEN s.revoked_at END, revocation_reason = CASE WHEN r.revoked "
	"THEN r.reason WHEN r.problem IS NOT NULL THEN s.revocation_reason END FROM "
	"jsonb_to_recordset($1::jsonb) AS r (id uuid, alt boolean, md5 text, next bigint, until "
	"bigint, demanded boolean, problem text, revoked boolean, revoked_at bigint, reason "
	"integer) JOIN certificates c ON c.id = r.id WHERE s.certificate = r.id AND s.alt = r.alt "
	"AND " LEAF("s.alt") " = r.md5";

/* What nobody is asked about needs no row, unless it must not be without a response. */
static const char drop_sql[] = "DELETE FROM certificate_staples WHERE certificate = ANY "
			       "($1::uuid[]) AND next_fetch IS NULL AND NOT must_staple";

struct papers {
	json_t *responses, *rest; /* arrays */
	struct buf ids;		  /* of all certificates */
	bool revoked, orphans;
	struct err err;
};

/* --- one leaf --- */

static bool has_failed(const struct staple_ask *q)
{
	return q->plan == STAPLE_PLAN_BROKEN ||
	       (q->plan == STAPLE_PLAN_ASK && q->result != STAPLE_RESULT_GOOD &&
		q->result != STAPLE_RESULT_REVOKED);
}

static bool is_good(const struct staple_ask *q)
{
	return q->plan == STAPLE_PLAN_ASK && q->result == STAPLE_RESULT_GOOD;
}

static bool is_revoked(const struct staple_ask *q)
{
	return q->plan == STAPLE_PLAN_ASK && q->result == STAPLE_RESULT_REVOKED;
}

/* The end of what is stored afterwards; 0: nothing is. */
static int64_t until(const struct staple_ask *q)
{
	return is_good(q) ? q->answer.until : is_revoked(q) ? 0 : q->question.until;
}

/* In milliseconds from now; -1: never. */
static int64_t next_ms(const struct staple_ask *q)
{
	int64_t now = clock_wall_s();
	const struct staple_question *held = &q->question;

	if (q->plan == STAPLE_PLAN_NOTHING)
		return -1;
	if (is_revoked(q))
		return revoked_again_ms;
	if (has_failed(q))
		return (int64_t)staple_retry_ms(q->failures + 1, q->retry_after_ms, chance());
	if (is_good(q))
		return (staple_refresh_s(q->answer.from, q->answer.until, now, chance()) - now) *
		       1000;
	return (staple_refresh_s(held->from, held->until, now, chance()) - now) * 1000;
}

static json_t *number_or_null(int64_t n, bool is)
{
	return is ? json_integer(n) : json_null();
}

static int put_rest(struct papers *p, const struct staple_ask *q)
{
	int64_t next = next_ms(q), end = until(q);
	json_t *row =
		json_pack("{s:s, s:b, s:s, s:o, s:o, s:b, s:s?, s:b, s:I, s:o}", "id", q->id, "alt",
			  q->alt, "md5", q->md5, "next", number_or_null(next, next >= 0), "until",
			  number_or_null(end, end > 0), "demanded", q->question.demanded, "problem",
			  has_failed(q) ? q->err.message : NULL, "revoked", is_revoked(q),
			  "revoked_at", (json_int_t)q->answer.revoked_at, "reason",
			  number_or_null(q->answer.reason, is_revoked(q) && q->answer.reason >= 0));

	p->revoked = p->revoked || is_revoked(q);
	p->orphans = p->orphans || next < 0;
	return json_array_append_new(p->rest, row);
}

static int put_response(struct papers *p, const struct staple_ask *q)
{
	struct buf text = BUF_INIT;
	json_t *row;
	int rc = is_good(q) ? base64_encode(&text, buf_str(&q->body), &p->err) : 0;

	row = rc == 0 ? json_pack("{s:s, s:b, s:s, s:s?}", "id", q->id, "alt", q->alt, "md5",
				  q->md5, "staple", is_good(q) ? text.data : NULL)
		      : NULL;
	buf_deinit(&text);
	return json_array_append_new(p->responses, row);
}

static int put_all(struct papers *p, struct staple_batch *b)
{
	list_for_each(it, &b->done)
	{
		const struct staple_ask *q = container_of(it, struct staple_ask, link);

		if (put_rest(p, q) != 0 || ids_add(&p->ids, q->id, &p->err) != 0 ||
		    ((is_good(q) || is_revoked(q)) && put_response(p, q) != 0))
			return -1;
	}
	return ids_end(&p->ids, &p->err);
}

/* --- the transaction --- */

static void exec(struct txn *t, const char *sql, const char *one, const char *two)
{
	const char *params[] = {one, two};

	txn_exec(t, sql, params, two ? 2 : 1, 0, STORE_OK);
}

static void note(struct txn *t, const struct staple_batch *b)
{
	list_for_each(it, &b->done)
	{
		const struct staple_ask *q = container_of(it, struct staple_ask, link);
		const struct store_note n = {.actor = "acme",
					     .actor_kind = "engine",
					     .kind = entity_certificates.name,
					     .entity = q->id,
					     .if_changed = true};

		if (b->acme->conf.audit && (is_good(q) || is_revoked(q)))
			txn_note_also(t, &n);
	}
}

static void put_statements(struct txn *t, const struct staple_batch *b, const struct papers *p,
			   const char *responses, const char *rest)
{
	const struct acme *a = b->acme;

	exec(t, lock_sql, p->ids.data, NULL);
	if (json_array_size(p->responses) > 0) {
		exec(t, put_sql, responses, NULL);
		exec(t, put_alt_sql, responses, NULL);
	}
	if (p->revoked && a->conf.webhook_url)
		exec(t, notice_sql, rest, NULL);
	if (p->revoked && acme_has_authority(a))
		exec(t, replace_sql, rest, acme_home(a));
	exec(t, settle_sql, rest, NULL);
	if (p->orphans)
		exec(t, drop_sql, p->ids.data, NULL);
	note(t, b);
}

void stapling_save(struct staple_batch *b, store_done done)
{
	struct papers p = {.responses = json_array(), .rest = json_array(), .ids = BUF_INIT};
	struct txn *t = txn_create(b->acme->store, NULL);
	char *responses = NULL, *rest = NULL;
	struct store_result failed = {.fault = STORE_FAILED};

	if (t && p.responses && p.rest && put_all(&p, b) == 0) {
		responses = json_dumps(p.responses, JSON_COMPACT);
		rest = json_dumps(p.rest, JSON_COMPACT);
	}
	if (responses && rest) {
		put_statements(t, b, &p, responses, rest);
		txn_commit(t, done, b);
	} else {
		if (t)
			txn_free(t);
		err_memory(&failed.err, "OCSP responses");
		done(&failed, b);
	}
	free(responses);
	free(rest);
	json_decref(p.responses);
	json_decref(p.rest);
	buf_deinit(&p.ids);
}
