/* Decides on checked items by what is here, and writes what is taken: one transaction a batch.
 *
 * Happy path: where the names' SNIs point, and which accounts there are -> a result for each item
 * -> certificates, SNIs, orders (so that they are renewed) and accounts. A certificate of ours that
 * ends later stays, a manual one stays unless force; nothing is removed in any case.
 * Failure paths: a transaction that fails refuses what it would have written: asked again, it is
 * the same; a store that is away ends the takeover. */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/install_internal.h"
#include "control-plane/acme/takeover_internal.h"

/* --- what is decided --- */

static void read_served(X509 **leaf, const json_t *sni)
{
	*leaf = NULL;
	if (cert_leaf_from_pem(leaf, str_from(row_text(sni, "cert")), NULL) != 0)
		*leaf = NULL;
}

static bool is(const json_t *sni, const char *column)
{
	return json_is_true(json_object_get(sni, column));
}

/* A name that is kept in date here already, or whose certificate is here without an order. */
static void decide_adoption(struct take_item *i)
{
	X509 *leaf = NULL;
	struct err e = ERR_INIT;

	if (is(i->sni, "kept")) {
		i->result = TAKE_UNCHANGED;
		return;
	}
	read_served(&leaf, i->sni);
	if (!leaf)
		takeover_end_item(i, TAKE_REFUSED, "what is served here cannot be read");
	else if (takeover_read_leaf(i, leaf, &e) != 0)
		takeover_end_item(i, TAKE_REFUSED, "%s", e.message);
	else
		i->result = TAKE_TAKEN;
	i->adopt = true;
	snprintf(i->id, sizeof(i->id), "%s", row_text(i->sni, "certificate_id"));
	X509_free(leaf);
}

static void decide_host(struct takeover *t, struct take_item *i)
{
	struct buf key = BUF_INIT;
	struct str name = kong_key_read(i->key).name;

	if (kong_write_key(&key, KONG_CERTIFICATE, name, NULL) == 0 &&
	    takeover_has_key(t, buf_str(&key)))
		takeover_end_item(i, TAKE_LEFT, "it goes with its certificate");
	else if (!i->sni)
		takeover_end_item(
			i, TAKE_REFUSED,
			"neither the storage nor Cardea has a certificate for it: bring in "
			"Kong's certificates first, or ask for one (POST /acme)");
	else if (!is(i->sni, "managed"))
		takeover_end_item(i, TAKE_REFUSED,
				  "its certificate here is not tagged %s: it is not renewed",
				  INSTALL_TAG);
	else
		decide_adoption(i);
	buf_deinit(&key);
}

/* Against a certificate of ours. */
static void decide_replacement(const struct takeover *t, struct take_item *i)
{
	struct cert_info served = {.not_after = 0};
	X509 *leaf = NULL;

	read_served(&leaf, i->sni);
	if (leaf)
		cert_info(leaf, &served);
	X509_free(leaf);
	if (leaf && str_eq(str_from(served.fingerprint), str_from(i->info.fingerprint)))
		decide_adoption(i);
	else if (leaf && served.not_after >= i->info.not_after && !t->force)
		takeover_end_item(i, TAKE_LEFT, "what is served here ends later");
	else
		i->result = TAKE_TAKEN;
}

static void decide_certificate(struct takeover *t, struct take_item *i)
{
	struct err e = ERR_INIT;
	bool alone = json_integer_value(json_object_get(i->sni, "users")) == 1;

	if (i->sni && !is(i->sni, "managed") && !t->force)
		takeover_end_item(i, TAKE_REFUSED,
				  "its certificate here is not tagged %s: force replaces it",
				  INSTALL_TAG);
	else if (i->sni && is(i->sni, "managed"))
		decide_replacement(t, i);
	else
		i->result = TAKE_TAKEN;
	if (i->result != TAKE_TAKEN || i->adopt)
		return;
	if (i->sni && is(i->sni, "managed") && alone)
		snprintf(i->id, sizeof(i->id), "%s", row_text(i->sni, "certificate_id"));
	else if (uuid_make(i->id, &e) != 0)
		takeover_end_item(i, TAKE_REFUSED, "%s", e.message);
}

static void decide_account(struct takeover *t, struct take_item *i)
{
	const json_t *row;
	struct buf der = {.secret = true};
	struct err e = ERR_INIT;
	char context[64];
	size_t n;

	i->result = TAKE_TAKEN;
	json_array_foreach(t->accounts, n, row)
	{
		if (!str_eq(str_from(row_text(row, "directory")), buf_str(&i->directory)) ||
		    !str_eq(str_from(row_text(row, "email")), buf_str(&i->email)))
			continue;
		snprintf(i->id, sizeof(i->id), "%s", row_text(row, "id"));
		snprintf(context, sizeof(context), "acme_accounts.key:%s", i->id);
		if (store_unseal(t->acme->store, str_from(context), str_from(row_text(row, "key")),
				 &der, &e) == 0 &&
		    str_eq(buf_str(&der), buf_str(&i->der)))
			i->result = TAKE_UNCHANGED;
		else
			takeover_end_item(i, TAKE_REFUSED,
					  "there is an account for this authority and address with "
					  "another key: deactivate that first "
					  "(DELETE /acme/accounts/%s)",
					  i->id);
		buf_deinit(&der);
		return;
	}
	if (uuid_make(i->id, &e) != 0)
		takeover_end_item(i, TAKE_REFUSED, "%s", e.message);
}

static const json_t *sni_of(const struct takeover *t, const char *host)
{
	const json_t *row;
	size_t n;

	json_array_foreach(t->snis, n, row)
	{
		if (str_eq(str_from(row_text(row, "name")), str_from(host)))
			return row;
	}
	return NULL;
}

/* Two keys of one host, which differ in case. */
static bool is_second(const struct takeover *t, size_t at)
{
	const struct take_item *i = &t->items[at];

	for (size_t n = 0; n < at; n++)
		if (i->host[0] && t->items[n].kind == i->kind &&
		    str_eq(str_from(t->items[n].host), str_from(i->host)))
			return true;
	return false;
}

static void decide(struct takeover *t)
{
	for (size_t n = 0; n < t->count; n++) {
		struct take_item *i = &t->items[n];

		if (i->result == TAKE_PENDING && is_second(t, n))
			takeover_end_item(i, TAKE_REFUSED, "another key is of this host too");
		if (i->result != TAKE_PENDING)
			continue;
		i->sni = sni_of(t, i->host);
		if (i->kind == KONG_ACCOUNT)
			decide_account(t, i);
		else if (i->kind == KONG_CERTIFICATE)
			decide_certificate(t, i);
		else
			decide_host(t, i);
	}
}

/* --- what is written --- */

static json_t *tags_or_ours(const json_t *row, const char *column, bool ours)
{
	json_t *tags = json_object_get(row, column);

	return ours && json_is_array(tags) && json_array_size(tags) ? json_incref(tags)
								    : json_pack("[s]", INSTALL_TAG);
}

/* The SNI must still point where it was seen. */
static void expect_sni(struct txn *x, const struct take_item *i)
{
	const char *params[] = {row_text(i->sni, "sni_id"), row_text(i->sni, "certificate_id")};

	txn_exec(x, "SELECT 1 FROM snis WHERE id = $1 AND certificate = $2 FOR UPDATE", params,
		 array_len(params), 1, STORE_NOT_FOUND);
}

static void put_certificate(struct txn *x, const struct take_item *i)
{
	bool same = i->sni && str_eq(str_from(i->id), str_from(row_text(i->sni, "certificate_id")));
	json_int_t now = (json_int_t)clock_wall_s();
	json_t *row = json_pack(
		"{s:s, s:I, s:I, s:o, s:s%, s:s%, s:n, s:n}", "id", i->id, "created_at",
		same ? json_integer_value(json_object_get(i->sni, "certificate_created")) : now,
		"updated_at", now, "tags", tags_or_ours(i->sni, "certificate_tags", same), "cert",
		i->cert.data, i->cert.len, "key", i->key_pem.data, i->key_pem.len, "cert_alt",
		"key_alt");

	txn_upsert(x, &entity_certificates, row);
	json_decref(row);
}

static int put_sni(struct txn *x, const struct take_item *i, struct err *e)
{
	char id[UUID_TEXT_SIZE];
	json_int_t now = (json_int_t)clock_wall_s();
	json_t *row;

	if (i->sni)
		snprintf(id, sizeof(id), "%s", row_text(i->sni, "sni_id"));
	else if (uuid_make(id, e) != 0)
		return -1;
	row = json_pack("{s:s, s:I, s:I, s:o, s:s, s:{s:s}, s:O?}", "id", id, "created_at",
			i->sni ? json_integer_value(json_object_get(i->sni, "sni_created")) : now,
			"updated_at", now, "tags", tags_or_ours(i->sni, "sni_tags", i->sni != NULL),
			"name", i->host, "certificate", "id", i->id, "tls_min_version",
			json_object_get(i->sni, "tls_min_version"));
	txn_upsert(x, &entity_snis, row);
	json_decref(row);
	return 0;
}

/* As an order that ended well: so it is renewed, watched and shown. Older ones have a successor. */
static void put_order(const struct takeover *t, struct txn *x, const struct take_item *i)
{
	const struct acme *a = t->acme;
	enum { NUMBER_SIZE = 24 };
	char begin[NUMBER_SIZE], end[NUMBER_SIZE], renew[NUMBER_SIZE];
	double share = policy_renew_fraction(acme_policy(a, str_from(i->host)),
					     i->info.not_after - i->info.not_before,
					     a->conf.renew_fraction);
	const char *params[] = {i->host,
				t->home,
				i->key_type ? i->key_type : key_type_name(a->conf.key_type),
				i->id,
				begin,
				end,
				renew,
				i->ari_id[0] ? i->ari_id : NULL};

	snprintf(begin, sizeof(begin), "%lld", (long long)i->info.not_before);
	snprintf(end, sizeof(end), "%lld", (long long)i->info.not_after);
	snprintf(
		renew, sizeof(renew), "%lld",
		(long long)renewal_time_ms(i->info.not_before, i->info.not_after, share, chance()) /
			1000);
	txn_exec(
		x,
		"UPDATE acme_orders SET renew_at = NULL, ari_next = NULL WHERE state = 'valid' AND "
		"renew_at IS NOT NULL AND host = $1 AND more = ''",
		params, 1, 0, STORE_OK);
	txn_exec(
		x,
		"INSERT INTO acme_orders (id, host, directory, ca, key_type, state, "
		"certificate_id, not_before, not_after, renew_at, ari_id, ari_next, events) VALUES "
		"(gen_random_uuid(), $1, $2, $2, $3, 'valid', $4, to_timestamp($5::float8), "
		"to_timestamp($6::float8), to_timestamp($7::float8), $8, CASE WHEN $8::text IS "
		"NOT NULL THEN now() END, acme_event('taken over', 'from a storage of Kong''s'))",
		params, array_len(params), 0, STORE_OK);
}

static int put_account(const struct takeover *t, struct txn *x, const struct take_item *i,
		       struct err *e)
{
	struct buf sealed = BUF_INIT;
	char context[64];
	int rc;

	snprintf(context, sizeof(context), "acme_accounts.key:%s", i->id);
	rc = store_seal(t->acme->store, str_from(context), buf_str(&i->der), &sealed, e);
	if (rc == 0) {
		const char *params[] = {i->id, i->directory.data, i->email.data, sealed.data};

		txn_exec(x,
			 "INSERT INTO acme_accounts (id, directory, email, key) VALUES ($1, $2, "
			 "$3, $4::bytea)",
			 params, array_len(params), 0, STORE_OK);
	}
	buf_deinit(&sealed);
	return rc;
}

static int put(struct takeover *t, struct txn *x, struct take_item *i, struct err *e)
{
	if (i->kind == KONG_ACCOUNT)
		return put_account(t, x, i, e);
	if (i->sni)
		expect_sni(x, i);
	if (!i->adopt) {
		put_certificate(x, i);
		if (put_sni(x, i, e) != 0)
			return -1;
	}
	put_order(t, x, i);
	return 0;
}

static void on_written(const struct store_result *r, void *arg)
{
	struct takeover *t = arg;

	for (size_t n = 0; r->fault != STORE_OK && n < t->count; n++)
		if (t->items[n].result == TAKE_TAKEN)
			takeover_end_item(&t->items[n], TAKE_REFUSED,
					  "it was not written, with others of its batch: %.200s",
					  r->fault == STORE_NOT_FOUND
						  ? "an SNI changed meanwhile; ask again"
						  : r->err.message);
	takeover_saved(t, r);
}

static void write_batch(struct takeover *t)
{
	struct store_result none = {.fault = STORE_OK, .err = ERR_INIT};
	struct txn *x = NULL;
	int rc = 0;

	decide(t);
	for (size_t n = 0; rc == 0 && !t->dry_run && n < t->count; n++) {
		if (t->items[n].result != TAKE_TAKEN)
			continue;
		if (!x)
			x = txn_create(t->acme->store, NULL);
		rc = x ? put(t, x, &t->items[n], &none.err)
		       : err_memory(&none.err, "what is taken over");
	}
	if (rc == 0 && x) {
		if (t->noted)
			txn_note(x, &t->note);
		txn_commit(x, on_written, t);
		return;
	}
	if (x)
		txn_free(x);
	if (rc != 0)
		none.fault = STORE_FAILED;
	on_written(&none, t);
}

/* --- what is here --- */

static void on_accounts(const struct store_result *r, void *arg)
{
	struct takeover *t = arg;

	if (r->fault != STORE_OK || t->stopping) {
		takeover_saved(t, r);
		return;
	}
	t->accounts = json_incref(r->rows);
	write_batch(t);
}

static void on_snis(const struct store_result *r, void *arg)
{
	struct takeover *t = arg;
	bool accounts = false;

	if (r->fault != STORE_OK || t->stopping) {
		takeover_saved(t, r);
		return;
	}
	t->snis = json_incref(r->rows);
	for (size_t n = 0; n < t->count; n++)
		accounts = accounts ||
			   (t->items[n].kind == KONG_ACCOUNT && t->items[n].result == TAKE_PENDING);
	if (accounts)
		store_query(t->acme->store,
			    "SELECT id, directory, email, key FROM acme_accounts WHERE "
			    "deactivated_at IS NULL",
			    NULL, 0, on_accounts, t);
	else
		write_batch(t);
}

static const char snis_sql[] =
	"SELECT lower(s.name) AS name, s.id AS sni_id, s.certificate AS certificate_id, "
	"to_jsonb(s.tags) AS sni_tags, s.tls_min_version, to_jsonb(c.tags) AS certificate_tags, "
	"extract(epoch FROM s.created_at)::bigint AS sni_created, extract(epoch FROM "
	"c.created_at)::bigint AS certificate_created, coalesce('managed-by-acme' = ANY (c.tags), "
	"false) AS managed, (SELECT count(*) FROM snis u WHERE u.certificate = s.certificate) AS "
	"users, c.cert, EXISTS (SELECT 1 FROM acme_orders o WHERE (o.certificate_id = c.id AND "
	"o.state = 'valid' AND o.renew_at IS NOT NULL) OR (o.host = lower(s.name) AND o.state NOT "
	"IN ('valid', 'failed'))) AS kept FROM snis s JOIN certificates c ON c.id = s.certificate "
	"WHERE lower(s.name) = ANY (string_to_array($1, ' '))";

void takeover_save(struct takeover *t)
{
	struct store_result failed = {.fault = STORE_FAILED, .err = ERR_INIT};
	struct buf names = BUF_INIT;
	int rc = buf_add(&names, "", 0, &failed.err);

	for (size_t n = 0; rc == 0 && n < t->count; n++)
		if (t->items[n].result == TAKE_PENDING && t->items[n].host[0])
			rc = buf_addf(&names, &failed.err, "%s ", t->items[n].host);
	if (rc == 0)
		store_query(t->acme->store, snis_sql,
			    (const char *[]){names.data ? names.data : ""}, 1, on_snis, t);
	else
		takeover_saved(t, &failed);
	buf_deinit(&names);
}
