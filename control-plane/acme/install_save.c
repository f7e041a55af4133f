/* The transaction of certificates that were checked: each with its SNIs, its order's end, and the
 * end of its challenges. */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/install_internal.h"

static void on_revision_noted(const struct store_result *r, void *arg)
{
	struct group_batch *b = arg;

	(void)r; /* without it the API shows the certificate's last revision */
	for (size_t i = 0; i < b->count; i++) {
		struct order *o = group_awoke(b, i);

		if (o)
			order_end(o);
	}
	group_end(b);
}

/* With the batch of the transaction, which has made it. */
static void note_revision(struct group_batch *b, struct store *s, uint64_t revision)
{
	struct buf ids = BUF_INIT;
	char text[24];
	const struct store_result none = {.fault = STORE_FAILED};

	snprintf(text, sizeof(text), "%llu", (unsigned long long)revision);
	for (size_t i = 0; i < b->count; i++)
		order_sleep(b->orders[i]);
	if (group_ids(b, &ids, NULL) == 0)
		store_query(s, "UPDATE acme_orders SET revision = $2 WHERE id = ANY ($1::uuid[])",
			    (const char *[]){ids.data, text}, 2, on_revision_noted, b);
	else
		on_revision_noted(&none, b);
	buf_deinit(&ids);
}

static void installed(struct order *o, uint64_t revision)
{
	log_notice("certificate issued", log_str("host", o->host), log_str("id", o->id),
		   log_str("certificate", o->certificate_id), log_u64("revision", revision),
		   log_i64("not_after", o->not_after),
		   log_str("renewal", o->renewal ? "yes" : "no"));
	acme_count(o->acme, ACME_RESULT_VALID);
}

static void on_installed(const struct store_result *r, void *arg)
{
	struct group_batch *b = arg;
	struct store *s = b->orders[0]->acme->store;
	bool again = group_again(b, r);
	size_t there = 0;

	for (size_t i = 0; !again && i < b->count; i++) {
		struct order *o = group_awoke(b, i);

		if (!o || !order_saved(o, r))
			continue;
		installed(o, r->revision);
		b->orders[there++] = o;
	}
	if (there > 0) {
		b->count = there;
		note_revision(b, s, r->revision);
	} else {
		group_end(b);
	}
}

static json_t *tags_or_ours(json_t *tags)
{
	return json_is_array(tags) && json_array_size(tags) ? json_incref(tags)
							    : json_pack("[s]", INSTALL_TAG);
}

/* --- one of two --- */

/* Which of the entity's two places the certificate takes, and which one stays. */
struct place_names {
	const char *cert, *key, *other_cert, *other_key, *other_staple;
};
static const struct place_names places[] = {
	{"cert", "key", "cert_alt", "key_alt", "ocsp_response_alt"},
	{"cert_alt", "key_alt", "cert", "key", "ocsp_response"},
};

static const struct place_names *place_of(const struct order *o)
{
	return &places[o->pair_of[0] != '\0'];
}

/* The other certificate of the entity stays if it has another kind of key and covers the names. */
static bool other_stays(const struct order *o)
{
	const char *other = row_text(o->install->pair, place_of(o)->other_cert);
	X509 *leaf = NULL, *own = NULL;
	bool stays = false;

	if (other[0] && cert_leaf_from_pem(&leaf, str_from(other), NULL) == 0 &&
	    cert_leaf_from_pem(&own, buf_str(&o->install->chain), NULL) == 0)
		stays = !str_eq(str_from(cert_key_algorithm(leaf)),
				str_from(cert_key_algorithm(own))) &&
			install_check_names(leaf, order_names(o), NULL) == 0;
	X509_free(leaf);
	X509_free(own);
	return stays;
}

static int set_text(json_t *row, const char *name, struct str text)
{
	return json_object_set_new(row, name,
				   text.len ? json_stringn(text.ptr, text.len) : json_null());
}

/* As it was; none without a pair. */
static void keep(json_t *row, const json_t *pair, const char *name)
{
	(void)set_text(row, name, str_from(row_text(pair, name)));
}

static void put_certificate(struct txn *t, const struct order *o)
{
	const struct install *i = o->install;
	const struct placement *at = &i->at;
	const struct place_names *p = place_of(o);
	bool stays = i->pair && other_stays(o);
	json_t *row = json_pack("{s:s, s:I, s:I, s:o}", "id", o->certificate_id, "created_at",
				at->certificate_created, "updated_at", (json_int_t)clock_wall_s(),
				"tags", tags_or_ours(at->certificate_tags));

	if (row) {
		(void)set_text(row, p->cert, buf_str(&i->chain));
		(void)set_text(row, p->key, buf_str(&i->key_pem));
		keep(row, stays ? i->pair : NULL, p->other_cert);
		keep(row, stays ? i->pair : NULL, p->other_key);
		keep(row, stays ? i->pair : NULL, p->other_staple);
	}
	/* What stays was read before: it must still be that. */
	if (i->pair)
		txn_update(t, &entity_certificates, row,
			   json_integer_value(json_object_get(i->pair, "version")));
	else
		txn_upsert(t, &entity_certificates, row);
	json_decref(row);
}

/* The second one proves nothing anew: the authority reuses the authorizations. Its renewal is the
 * first one's. */
static void order_second(struct txn *t, const struct order *o)
{
	const char *params[] = {o->id};

	txn_exec(t,
		 "INSERT INTO acme_orders (id, host, more, directory, key_type, renewal, pair_of, "
		 "profile, profile_required, preferred_chain, wanted_not_after, lane, ca_before) "
		 "SELECT gen_random_uuid(), host, more, directory, key_type_alt, renewal, id, "
		 "profile, profile_required, preferred_chain, wanted_not_after, lane, ca FROM "
		 "acme_orders WHERE id = $1 ON CONFLICT (directory, host, md5(more)) WHERE state "
		 "NOT IN ('valid', 'failed') DO NOTHING",
		 params, array_len(params), 0, STORE_OK);
}

/* While the second was at work the first may have become due, and found it in its way. */
static void wake_first(struct txn *t, const struct order *o)
{
	const char *params[] = {o->pair_of};

	txn_exec(t,
		 "UPDATE acme_orders f SET renew_at = now() WHERE f.id = $1 AND f.renew_at IS NULL "
		 "AND NOT EXISTS (SELECT 1 FROM acme_orders n WHERE n.host = f.host AND n.more = "
		 "f.more AND n.pair_of IS NULL AND n.created_at > f.created_at)",
		 params, array_len(params), 0, STORE_OK);
}

/* A row of the name's SNI; NULL: there is none yet. */
static const json_t *sni_of(const json_t *rows, struct str name)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (str_eq(str_from(row_text(row, "name")), name))
			return row;
	}
	return NULL;
}

/* The SNI must still be as it was read; a new one meets the unique index instead. */
static void expect_sni(struct txn *t, const json_t *sni)
{
	const char *params[] = {row_text(sni, "sni_id"), row_text(sni, "certificate_id")};

	txn_exec(t,
		 "SELECT 1 FROM snis s JOIN certificates c ON c.id = s.certificate WHERE s.id = $1 "
		 "AND s.certificate = $2 AND 'managed-by-acme' = ANY (c.tags) FOR UPDATE",
		 params, array_len(params), 1, STORE_NOT_FOUND);
}

static int put_sni(struct txn *t, const struct order *o, struct str name, const json_t *now,
		   struct err *e)
{
	char id[UUID_TEXT_SIZE];
	json_t *row;

	if (now)
		snprintf(id, sizeof(id), "%s", row_text(now, "sni_id"));
	else if (uuid_make(id, e) != 0)
		return -1;
	row = json_pack("{s:s, s:I, s:I, s:o, s:s%, s:{s:s}, s:O?}", "id", id, "created_at",
			now ? json_integer_value(json_object_get(now, "sni_created"))
			    : (json_int_t)clock_wall_s(),
			"updated_at", (json_int_t)clock_wall_s(), "tags",
			tags_or_ours(json_object_get(now, "sni_tags")), "name", name.ptr, name.len,
			"certificate", "id", o->certificate_id, "tls_min_version",
			json_object_get(now, "tls_min_version"));
	txn_upsert(t, &entity_snis, row);
	json_decref(row);
	return 0;
}

static int put_snis(struct txn *t, const struct order *o, struct err *e)
{
	const struct placement *at = &o->install->at;
	struct str rest = order_names(o), name = STR_NONE;
	const json_t *row;
	size_t i;

	json_array_foreach(at->snis, i, row)
	{
		expect_sni(t, row);
	}
	put_certificate(t, o);
	while (str_split(&rest, ' ', &name))
		if (put_sni(t, o, name, sni_of(at->snis, name), e) != 0)
			return -1;
	return 0;
}

/* Older certificates of these names have a successor: they are not renewed any more. Of two for the
 * same names in one transaction the later goes on. ids: an array of the database. */
static void retire_others(struct txn *t, const char *ids)
{
	txn_exec(
		t,
		"WITH n AS (SELECT id, host, more, certificate_id, created_at FROM acme_orders "
		"WHERE id = ANY ($1::uuid[]) AND pair_of IS NULL), v AS (SELECT n.id AS by, "
		"n.created_at AS by_at, x.id, x.created_at FROM n JOIN acme_orders x ON "
		"x.certificate_id = n.certificate_id WHERE x.state = 'valid' AND x.renew_at IS NOT "
		"NULL UNION SELECT n.id, n.created_at, x.id, x.created_at FROM n JOIN acme_orders "
		"x ON x.host = n.host AND x.more = n.more WHERE x.state = 'valid' AND x.renew_at "
		"IS NOT NULL) UPDATE acme_orders o SET renew_at = NULL, ari_next = NULL FROM v "
		"WHERE o.id = v.id AND v.id <> v.by AND (NOT v.id = ANY ($1::uuid[]) OR "
		"(v.created_at, v.id) < (v.by_at, v.by))",
		&ids, 1, 0, STORE_OK);
}

static double renew_fraction(const struct order *o)
{
	const struct cert_info *i = &o->install->info;

	return policy_renew_fraction(acme_policy(o->acme, order_names(o)),
				     i->not_after - i->not_before, o->acme->conf.renew_fraction);
}

void install_make_valid(struct order *o)
{
	const struct cert_info *info = &o->install->info;

	buf_deinit(&o->sealed_key);
	o->dropping = true;
	o->not_after = info->not_after;
	if (!o->pair_of[0])
		o->renew_at_ms = renewal_time_ms(info->not_before, info->not_after,
						 renew_fraction(o), chance());
	o->renew_pause_ms = renewal_pause_ms(info->not_before, info->not_after, clock_wall_s());
	o->released = true;
	order_move(o, ORDER_VALID);
}

/* All but the order's row. */
static int put_all(struct txn *t, struct order *o, struct err *e)
{
	if (put_snis(t, o, e) != 0)
		return -1;
	notice_in(t, o, o->renewal ? NOTICE_RENEWED : NOTICE_ISSUED);
	order_drop(o, t);
	if (o->pair_of[0])
		wake_first(t, o);
	if (o->key_type_alt[0])
		order_second(t, o);
	order_note(o, t, &entity_certificates, o->certificate_id);
	return 0;
}

/* What is said of all of them at once. */
static int put_together(struct txn *t, const struct group_batch *b, struct err *e)
{
	json_t *rows = json_array();
	struct buf ids = BUF_INIT;
	char *text = NULL;
	int rc = rows ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < b->count; i++) {
		const struct install *in = b->orders[i]->install;

		rc = json_array_append_new(rows,
					   ari_row(b->orders[i], in->ari_id[0] ? in->ari_id : NULL,
						   in->info.not_before));
	}
	if (rc == 0 && (text = json_dumps(rows, JSON_COMPACT)) && group_ids(b, &ids, NULL) == 0) {
		ari_watch(t, text);
		retire_others(t, ids.data);
	} else {
		rc = err_memory(e, "certificates to install");
	}
	free(text);
	json_decref(rows);
	buf_deinit(&ids);
	return rc;
}

void install_batch(struct group_batch *b)
{
	struct txn *t = txn_create(b->orders[0]->acme->store, NULL);
	struct store_result failed = {.fault = STORE_FAILED, .err = ERR_INIT};
	int rc = 0;

	if (t)
		orders_save_in(b->orders, b->count, t);
	else
		rc = err_memory(&failed.err, "certificates to install");
	for (size_t i = 0; rc == 0 && i < b->count; i++)
		rc = put_all(t, b->orders[i], &failed.err);
	if (rc == 0)
		rc = put_together(t, b, &failed.err);
	if (rc == 0) {
		txn_commit(t, on_installed, b);
		return;
	}
	if (t)
		txn_free(t);
	on_installed(&failed, b);
}
