/* Revocation of a certificate that an authority issued (RFC 8555 section 7.6), by the account.
 *
 * Happy path: read (the certificate's newest orders: one, or both of a pair) -> for each: the
 * authority's account -> revokeCert -> ... -> one statement: what was revoked is noted at its order
 * and not renewed any more, and the names get a new order when the reason asks for one. Its key is
 * new, as every order's. What is served stays until then: with a revoked certificate most clients
 * go on, without one none does.
 * Failure paths: "already revoked" is what was wanted. Anything else ends the asking; what was
 * revoked before it is noted, and the caller is told what the authority said. With a key that
 * others may have the replacement is ordered all the same. When this control plane dies in between,
 * the caller asks again and the authority says that it has been done. */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/codec.h"
#include "common/core/log.h"
#include "common/pki/cert.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/ids.h"
#include "control-plane/acme/renewal_sql.h"
#include "control-plane/acme/verdict.h"

struct revoke {
	struct link link; /* on acme.revokes */
	struct acme *acme;
	const struct revocation_reason *reason;
	bool replace;
	json_t *rows; /* of find_sql */
	size_t next;  /* row that is at work */
	json_t *done; /* array of ids: orders whose certificate is revoked */
	size_t already;
	struct authority *authority; /* of that row; used */
	struct account_waiter waiter;
	struct client_call *call;
	struct buf payload;
	bool not_offered;	/* revokeCert, by the authority's directory */
	struct problem problem; /* that ended it */
	struct store_note note; /* texts are the caller's */
	bool noted;
	store_done answer;
	void *arg;
};

static void revoke_free(struct revoke *v)
{
	list_remove(&v->link);
	list_remove(&v->waiter.link);
	client_cancel(v->call);
	if (v->authority)
		authority_release(v->authority);
	json_decref(v->rows);
	json_decref(v->done);
	buf_deinit(&v->payload);
	free(v);
}

static void end(struct revoke *v, const struct store_result *r)
{
	v->answer(r, v->arg);
	revoke_free(v);
}

static void end_err(struct revoke *v, enum store_fault fault, const struct err *e)
{
	struct store_result r = {.fault = fault, .err = *e};

	end(v, &r);
}

/* --- what is known afterwards --- */

/* $1: orders whose certificate is revoked, $2: code, $3: its name, $4: order whose names get
 * another certificate, or null, $5: its lane, $6: the first authority. An order that is at work on
 * the same names is that replacement: its key is not the revoked one's. */
#define KEPT RENEWAL_KEPT("d")
#define MADE                                                                                       \
	RENEWAL_INSERT(", lane, events", "$6", ", $5::integer, acme_event('replaces', $3)", "d")   \
	RENEWAL_HURRY
static const char note_sql[] =
	"WITH told AS (UPDATE acme_orders SET revoked_at = coalesce(revoked_at, now()), "
	"revocation_reason = $2::integer, renew_at = NULL, ari_next = NULL, events = "
	"acme_events(events, acme_event('revoked', $3)) WHERE id = ANY ($1::uuid[]) RETURNING id), "
	"d AS (SELECT * FROM acme_orders WHERE id = $4::uuid), " KEPT ", made AS (" MADE
	"RETURNING id) "
	"SELECT (SELECT count(*) FROM told) AS told, (SELECT id FROM made) AS replacement";

static void on_noted(const struct store_result *r, void *arg)
{
	struct revoke *v = arg;
	struct acme *a = v->acme;
	struct store_result all = *r;
	json_t *row = json_array_get(r->rows, 0);
	bool failed = problem_is_set(&v->problem);

	if (acme_awoke(a))
		schedule_kick(a);
	if (r->fault != STORE_OK) {
		end(v, r);
		return;
	}
	all.rows = json_pack("[{s:O*, s:i, s:s, s:I, s:I, s:O?, s:s?, s:b}]", "certificate",
			     json_object_get(json_array_get(v->rows, 0), "certificate_id"), "code",
			     v->reason->code, "reason", v->reason->name, "revoked",
			     json_integer_value(json_object_get(row, "told")), "already",
			     (json_int_t)v->already, "replacement",
			     json_object_get(row, "replacement"), "problem",
			     failed ? v->problem.detail : NULL, "refused",
			     failed && v->problem.status >= 400 && v->problem.status < 500);
	end(v, &all);
	json_decref(all.rows);
}

static int ids_text(const struct revoke *v, struct buf *out)
{
	const json_t *id;
	size_t i;

	json_array_foreach(v->done, i, id)
	{
		if (ids_add(out, json_string_value(id), NULL) != 0)
			return -1;
	}
	return ids_end(out, NULL);
}

static void note(struct revoke *v)
{
	bool failed = problem_is_set(&v->problem);
	bool replace = v->replace && (!failed || v->reason->lane == LANE_EMERGENCY);
	const json_t *first = json_array_get(v->rows, 0);
	struct buf ids = BUF_INIT;
	struct err e = ERR_INIT;
	char code[16], lane[16];
	const char *params[] = {NULL,
				code,
				v->reason->name,
				replace ? json_string_value(json_object_get(first, "id")) : NULL,
				lane,
				acme_home(v->acme)};

	/* From here on the store calls back, whatever happens. */
	list_remove(&v->link);
	snprintf(code, sizeof(code), "%d", v->reason->code);
	snprintf(lane, sizeof(lane), "%d", (int)v->reason->lane);
	if (ids_text(v, &ids) == 0) {
		params[0] = ids.data;
		acme_sleep(v->acme);
		store_query_noted(v->acme->store, note_sql, params, array_len(params),
				  v->noted ? &v->note : NULL, on_noted, v);
	} else {
		err_memory(&e, "a revocation");
		end_err(v, STORE_FAILED, &e);
	}
	buf_deinit(&ids);
}

/* --- one certificate --- */

static void next(struct revoke *v);

static void stop(struct revoke *v, const struct problem *p)
{
	const json_t *row = json_array_get(v->rows, v->next);

	v->problem = *p;
	log_warn("a certificate could not be revoked",
		 log_str("order", json_string_value(json_object_get(row, "id"))),
		 log_str("type", p->type), log_str("detail", p->detail));
	note(v);
}

static void stop_err(struct revoke *v, const char *kind, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, kind, e);
	stop(v, &p);
}

static void on_answer(const struct client_reply *r, void *arg)
{
	struct revoke *v = arg;
	const json_t *row = json_array_get(v->rows, v->next);
	const struct signal s = {.problem = &r->problem};

	v->call = NULL;
	if (problem_is_set(&r->problem) && verdict(&s)->step != STEP_DONE) {
		struct problem p = r->problem;

		p.status = v->not_offered ? 400 : p.status;
		stop(v, &p);
		return;
	}
	v->already += problem_is_set(&r->problem);
	(void)json_array_append(v->done, json_object_get(row, "id"));
	log_notice("certificate revoked",
		   log_str("order", json_string_value(json_object_get(row, "id"))),
		   log_str("host", json_string_value(json_object_get(row, "host"))),
		   log_str("reason", v->reason->name));
	v->next++;
	next(v);
}

static int build(struct buf *out, const struct acme_directory *d, void *arg, struct err *e)
{
	struct revoke *v = arg;

	v->not_offered = !d->revoke[0];
	if (v->not_offered)
		return err_set(e, ERR_INVALID, "the authority's directory has no revokeCert");
	return buf_add_str(out, buf_str(&v->payload), e);
}

static int make_payload(struct revoke *v, struct err *e)
{
	const json_t *pem = json_object_get(json_array_get(v->rows, v->next), "pem");
	struct str text = {json_string_value(pem), json_string_length(pem)};
	struct buf der = BUF_INIT;
	X509 *leaf = NULL;
	int rc = -1;

	buf_clear(&v->payload);
	if (text.ptr && cert_leaf_from_pem(&leaf, text, e) == 0 && cert_to_der(&der, leaf, e) == 0)
		rc = message_revoke(&v->payload, buf_str(&der), v->reason->code, e);
	X509_free(leaf);
	buf_deinit(&der);
	return rc;
}

static void ask(struct revoke *v)
{
	struct account *account = v->authority->account;
	const struct client_request q = {
		.endpoint = CLIENT_REVOKE,
		.key = account_key(account),
		.kid = account_kid(account),
		.build = build,
		.lane = LANE_EMERGENCY,
	};
	struct err e = ERR_INIT;

	if (make_payload(v, &e) != 0) {
		stop_err(v, "internal", &e);
	} else if (client_post(&v->call, v->authority->client, &q, on_answer, v, &e) != 0) {
		v->call = NULL;
		stop_err(v, "internal", &e);
	}
}

static void on_account(struct account_waiter *w, const struct problem *p)
{
	struct revoke *v = container_of(w, struct revoke, waiter);

	if (p)
		stop(v, p);
	else
		ask(v);
}

static void use(struct revoke *v, struct authority *au)
{
	if (v->authority)
		authority_release(v->authority);
	v->authority = au;
	authority_use(au);
}

static void next(struct revoke *v)
{
	const json_t *row = json_array_get(v->rows, v->next);
	const char *ca = json_string_value(json_object_get(row, "ca"));
	struct authority *au = ca ? authority_find(v->acme, ca) : NULL;
	struct problem p;

	if (!row) {
		note(v);
		return;
	}
	if (!au) {
		problem_own(&p, "authority",
			    "the authority that issued it, %.300s, is not configured any more: "
			    "add it to acme_authorities first",
			    ca ? ca : "?");
		p.status = 400;
		stop(v, &p);
		return;
	}
	use(v, au);
	account_wait(au->account, &v->waiter);
}

/* --- which --- */

/* $1: a certificate's id or a name. The second of a pair has its own order and authority. */
static const char find_sql[] =
	"SELECT DISTINCT ON (o.pair_of IS NOT NULL) o.id, o.host, o.ca, o.certificate_id, CASE "
	"WHEN o.pair_of IS NULL THEN c.cert ELSE c.cert_alt END AS pem FROM certificates c JOIN "
	"acme_orders o ON o.certificate_id = c.id AND o.state = 'valid' WHERE (c.id::text = "
	"lower($1) OR c.id = (SELECT s.certificate FROM snis s WHERE lower(s.name) = lower($1))) "
	"AND CASE WHEN o.pair_of IS NULL THEN c.cert ELSE c.cert_alt END IS NOT NULL ORDER BY "
	"o.pair_of IS NOT NULL, o.created_at DESC";

static void on_found(const struct store_result *r, void *arg)
{
	struct revoke *v = arg;
	struct err e = ERR_INIT;

	if (!acme_awoke(v->acme)) {
		err_set(&e, ERR_UNAVAILABLE, "this control plane is being stopped");
		end_err(v, STORE_UNAVAILABLE, &e);
	} else if (r->fault != STORE_OK) {
		end(v, r);
	} else if (json_array_size(r->rows) == 0) {
		end_err(v, STORE_NOT_FOUND, &e);
	} else {
		v->rows = json_incref(r->rows);
		list_push(&v->acme->revokes, &v->link);
		next(v);
	}
}

void acme_revoke(struct acme *a, struct str which, const struct acme_revocation *w,
		 const struct store_note *note, store_done done, void *arg)
{
	struct revoke *v = calloc(1, sizeof(*v));
	char *text = str_dup(which);
	const char *params[] = {text};
	struct store_result r = {.fault = STORE_FAILED};

	if (v && text && (v->done = json_array())) {
		v->acme = a;
		v->reason = w->reason;
		v->replace = w->replace;
		v->noted = note != NULL;
		if (note)
			v->note = *note;
		v->answer = done;
		v->arg = arg;
		list_init(&v->link);
		list_init(&v->waiter.link);
		v->waiter.done = on_account;
		acme_sleep(a);
		store_query(a->store, find_sql, params, array_len(params), on_found, v);
	} else {
		free(v);
		err_memory(&r.err, "a revocation");
		done(&r, arg);
	}
	free(text);
}

/* Those that wait for the database end by themselves. */
void revokes_close(struct acme *a)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_UNAVAILABLE, "this control plane is being stopped");
	list_for_each_safe(it, &a->revokes)
	{
		struct revoke *v = container_of(it, struct revoke, link);

		end_err(v, STORE_UNAVAILABLE, &e);
	}
}
