/* The certificate that came: checked, then made live.
 *
 * Happy path: check (pool) -> look where the host's SNI points -> one transaction: certificate,
 * SNI, removal of the challenge, the order's end. One revision, so that every data plane has all or
 * none. Failure paths: a certificate that is not what was asked for fails the order, and the old
 * one stays (CH-10); an SNI that became a manual one fails it too; an SNI that changed under our
 * hands, or a lost lease, ends the run: the row still says downloading, and whoever has it next
 * repeats this.
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/cert.h"
#include "control-plane/acme/engine.h"

enum { CLOCK_SKEW_S = 300 }; /* how far in the future a certificate may begin */

static const char tag[] = "managed-by-acme";

struct install {
	struct buf chain;   /* PEM as the CA sent it */
	struct buf key_pem; /* secret */
	struct cert_info info;
	bool checked;
};

void install_free(struct install *i)
{
	if (!i)
		return;
	buf_deinit(&i->chain);
	buf_deinit(&i->key_pem);
	free(i);
}

static void internal_trouble(struct order *o, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, "internal", e);
	order_trouble(o, &p);
}

/* --- the check (thread: pool; the order waits and is not touched meanwhile) --- */

static int check_host_and_dates(const struct install *i, struct str host, struct err *e)
{
	X509 *leaf = NULL;
	bool covers;

	if (cert_leaf_from_pem(&leaf, buf_str(&i->chain), e) != 0)
		return -1;
	covers = cert_covers(leaf, host);
	X509_free(leaf);
	if (!covers)
		return err_set(e, ERR_INVALID, "it does not cover %.*s", (int)host.len, host.ptr);
	if (i->info.not_before > clock_wall_s() + CLOCK_SKEW_S)
		return err_set(e, ERR_INVALID, "it is not valid yet");
	if (i->info.not_after <= clock_wall_s())
		return err_set(e, ERR_INVALID, "it has expired already");
	return 0;
}

static int check(struct install *i, EVP_PKEY *key, struct str host, struct err *e)
{
	struct cert_pair pair;

	if (key_to_pem(&i->key_pem, key, e) != 0 ||
	    cert_pair_from_pem(&pair, buf_str(&i->chain), buf_str(&i->key_pem), e) != 0)
		return -1;
	i->info = pair.info;
	cert_pair_free(&pair);
	return check_host_and_dates(i, host, e);
}

static void run_check(struct work *w)
{
	struct order *o = container_of(w, struct order, work);

	err_clear(&o->work_err);
	o->install->checked = check(o->install, o->key, str_from(o->host), &o->work_err) == 0;
}

/* --- the transaction --- */

static void on_revision_noted(const struct store_result *r, void *arg)
{
	struct order *o = arg;

	(void)r; /* without it the API shows the certificate's last revision */
	if (order_awoke(o))
		order_end(o);
}

static void note_revision(struct order *o, uint64_t revision)
{
	char text[24];
	const char *params[] = {o->id, text};

	snprintf(text, sizeof(text), "%llu", (unsigned long long)revision);
	order_sleep(o);
	store_query(o->acme->store, "UPDATE acme_orders SET revision = $2 WHERE id = $1", params,
		    array_len(params), on_revision_noted, o);
}

static void on_installed(const struct store_result *r, void *arg)
{
	struct order *o = arg;

	if (!order_awoke(o) || !order_saved(o, r))
		return;
	log_notice("certificate issued", log_str("host", o->host), log_str("id", o->id),
		   log_str("certificate", o->certificate_id), log_u64("revision", r->revision),
		   log_i64("not_after", o->not_after),
		   log_str("renewal", o->renewal ? "yes" : "no"));
	acme_count(o->acme, ACME_RESULT_VALID);
	note_revision(o, r->revision);
}

/* Where the host's SNI points now. */
struct placement {
	char sni_id[UUID_TEXT_SIZE];
	json_int_t sni_created, certificate_created;
	json_t *sni_tags, *certificate_tags; /* borrowed, NULL: the tag alone */
	bool found;
	char old_certificate_id[UUID_TEXT_SIZE];
};

static json_t *tags_or_ours(json_t *tags)
{
	return json_is_array(tags) && json_array_size(tags) ? json_incref(tags)
							    : json_pack("[s]", tag);
}

static void put_certificate(struct txn *t, const struct order *o, const struct placement *at)
{
	const struct install *i = o->install;
	json_t *row = json_pack(
		"{s:s, s:I, s:I, s:o, s:s%, s:s%, s:n, s:n}", "id", o->certificate_id, "created_at",
		at->certificate_created, "updated_at", (json_int_t)clock_wall_s(), "tags",
		tags_or_ours(at->certificate_tags), "cert", i->chain.data, i->chain.len, "key",
		i->key_pem.data, i->key_pem.len, "cert_alt", "key_alt");

	txn_upsert(t, &entity_certificates, row);
	json_decref(row);
}

static void put_sni(struct txn *t, const struct order *o, const struct placement *at)
{
	json_t *row = json_pack("{s:s, s:I, s:I, s:o, s:s, s:{s:s}}", "id", at->sni_id,
				"created_at", at->sni_created, "updated_at",
				(json_int_t)clock_wall_s(), "tags", tags_or_ours(at->sni_tags),
				"name", o->host, "certificate", "id", o->certificate_id);

	txn_upsert(t, &entity_snis, row);
	json_decref(row);
}

/* The SNI must still be as it was read; a new one meets the unique index instead. */
static void expect_placement(struct txn *t, const struct placement *at)
{
	const char *params[] = {at->sni_id, at->old_certificate_id};

	if (at->found)
		txn_exec(t,
			 "SELECT 1 FROM snis s JOIN certificates c ON c.id = s.certificate WHERE "
			 "s.id = $1 AND s.certificate = $2 AND 'managed-by-acme' = ANY (c.tags) "
			 "FOR UPDATE",
			 params, array_len(params), 1, STORE_NOT_FOUND);
}

/* Older certificates of this host have a successor: they are not renewed any more. */
static void retire_others(struct txn *t, const struct order *o)
{
	const char *params[] = {o->host, o->id};

	txn_exec(t,
		 "UPDATE acme_orders SET renew_at = NULL WHERE host = $1 AND id <> $2 AND state = "
		 "'valid' AND renew_at IS NOT NULL",
		 params, array_len(params), 0, STORE_OK);
}

static void commit(struct order *o, const struct placement *at)
{
	struct txn *t = txn_create(o->acme->store, NULL);
	char challenge[UUID_TEXT_SIZE];

	if (!t) {
		order_end(o);
		return;
	}
	memcpy(challenge, o->challenge_id, sizeof(challenge));
	o->challenge_id[0] = '\0';
	buf_deinit(&o->sealed_key);
	o->not_after = o->install->info.not_after;
	o->renew_at_ms = renewal_time_ms(o->install->info.not_before, o->install->info.not_after,
					 o->acme->conf.renew_fraction, chance());
	o->renew_pause_ms = renewal_pause_ms(o->install->info.not_before,
					     o->install->info.not_after, clock_wall_s());
	o->released = true;
	order_move(o, ORDER_VALID);
	order_save_in(o, t);
	expect_placement(t, at);
	put_certificate(t, o, at);
	put_sni(t, o, at);
	if (challenge[0])
		txn_delete(t, &entity_acme_challenges, str_from(challenge), false);
	retire_others(t, o);
	order_note(o, t, &entity_certificates, o->certificate_id);
	order_sleep(o);
	txn_commit(t, on_installed, o);
}

static void copy_id(char out[UUID_TEXT_SIZE], const json_t *row, const char *column)
{
	snprintf(out, UUID_TEXT_SIZE, "%s", json_string_value(json_object_get(row, column)));
}

/* A certificate that an earlier order made for this host alone is replaced under its id; anything
 * else keeps what it has. */
static int place(struct order *o, const json_t *row, struct placement *at, struct err *e)
{
	bool alone = json_integer_value(json_object_get(row, "users")) == 1;

	at->sni_created = at->certificate_created = clock_wall_s();
	if (!row) {
		if (uuid_make(at->sni_id, e) != 0)
			return -1;
		return uuid_make(o->certificate_id, e);
	}
	at->found = true;
	copy_id(at->sni_id, row, "sni_id");
	copy_id(at->old_certificate_id, row, "certificate_id");
	at->sni_tags = json_object_get(row, "sni_tags");
	at->sni_created = json_integer_value(json_object_get(row, "sni_created"));
	if (!alone)
		return uuid_make(o->certificate_id, e);
	copy_id(o->certificate_id, row, "certificate_id");
	at->certificate_tags = json_object_get(row, "certificate_tags");
	at->certificate_created = json_integer_value(json_object_get(row, "certificate_created"));
	return 0;
}

static void on_placement(const struct store_result *r, void *arg)
{
	struct order *o = arg;
	const json_t *row = json_array_get(r->rows, 0);
	struct placement at = {.found = false};
	struct problem p;
	struct err e = ERR_INIT;

	if (!order_awoke(o))
		return;
	if (r->fault != STORE_OK) {
		order_saved(o, r);
	} else if (row && !json_is_true(json_object_get(row, "managed"))) {
		problem_own(&p, "sni",
			    "the SNI %s was given to a certificate that is not tagged %s while "
			    "the order was at work",
			    o->host, tag);
		order_trouble(o, &p);
	} else if (place(o, row, &at, &e) != 0) {
		internal_trouble(o, &e);
	} else {
		commit(o, &at);
	}
}

static void on_checked(struct work *w)
{
	struct order *o = container_of(w, struct order, work);
	const char *params[] = {o->host};
	struct problem p;

	if (!order_awoke(o))
		return;
	if (!o->install->checked) {
		problem_own(&p, "certificate", "the CA's certificate is not installed: %s",
			    o->work_err.message);
		order_trouble(o, &p);
		return;
	}
	order_sleep(o);
	store_query(
		o->acme->store,
		"SELECT s.id AS sni_id, s.certificate AS certificate_id, to_jsonb(s.tags) AS "
		"sni_tags, to_jsonb(c.tags) AS certificate_tags, extract(epoch FROM "
		"s.created_at)::bigint AS sni_created, extract(epoch FROM c.created_at)::bigint AS "
		"certificate_created, coalesce('managed-by-acme' = ANY (c.tags), false) AS "
		"managed, "
		"(SELECT count(*) FROM snis u WHERE u.certificate = s.certificate) AS users FROM "
		"snis s JOIN certificates c ON c.id = s.certificate WHERE lower(s.name) = $1",
		params, array_len(params), on_placement, o);
}

void order_install(struct order *o, struct str chain_pem)
{
	struct err e = ERR_INIT;

	install_free(o->install);
	o->install = calloc(1, sizeof(*o->install));
	if (!o->install) {
		err_memory(&e, "certificate");
		internal_trouble(o, &e);
		return;
	}
	o->install->key_pem.secret = true;
	if (buf_add_str(&o->install->chain, chain_pem, &e) != 0 ||
	    work_start(&o->work, o->acme->loop, run_check, on_checked, &e) != 0)
		internal_trouble(o, &e);
	else
		order_sleep(o);
}
