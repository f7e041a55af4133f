/* The challenges of orders that begin to publish: those that data planes answer into the fleet's
 * state, those of dns-01 as rows (dns01.h), with the orders' moves in one transaction. */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/log.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/names.h"

/* Until another order is done with the same name. */
enum { OTHER_WAIT_MS = 1000 };
enum { KEY_AUTHORIZATION_SIZE = ACME_TOKEN_SIZE + JWS_THUMBPRINT_SIZE };

static void authorize_key(const struct authorization *a, char out[KEY_AUTHORIZATION_SIZE])
{
	snprintf(out, KEY_AUTHORIZATION_SIZE, "%s.%s", a->token,
		 account_thumbprint(a->order->authority->account));
}

/* A row of acme_dns_records. */
static json_t *record_row(struct authorization *a)
{
	char key_authorization[KEY_AUTHORIZATION_SIZE];
	char value[DNS01_VALUE_SIZE], name[DNS01_NAME_SIZE];

	authorize_key(a, key_authorization);
	dns01_name(name, str_from(a->name));
	if (dns01_value(value, str_from(key_authorization), NULL) != 0)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s}", "id", a->challenge_id, "order_id", a->order->id,
			 "name", name, "value", value);
}

/* What data planes look the challenge up by (proto/cardea/v1/fleet.proto). */
static json_t *challenge_row(struct authorization *a)
{
	char key_authorization[KEY_AUTHORIZATION_SIZE];
	char host[NAMES_REVERSE_SIZE];
	bool alpn = a->type == CHALLENGE_TLS_ALPN_01;

	authorize_key(a, key_authorization);
	snprintf(host, sizeof(host), "%.253s", a->name);
	if (alpn)
		names_sni(str_from(a->name), host);
	return json_pack("{s:s, s:s, s:s, s:s}", "id", a->challenge_id, "host", host, "token",
			 alpn ? CHALLENGE_ALPN_TOKEN : a->token, "key_authorization",
			 key_authorization);
}

/* Appends those of one order: to rows those of data planes, to records those of DNS. */
static int add_challenges(json_t *rows, json_t *records, struct order *o, struct err *e)
{
	for (size_t i = 0; i < o->authorizations.count; i++) {
		struct authorization *a = &o->authorizations.items[i];
		bool dns = a->type == CHALLENGE_DNS_01;

		if (a->valid)
			continue;
		if (uuid_make(a->challenge_id, e) != 0)
			return -1;
		if (json_array_append_new(dns ? records : rows,
					  dns ? record_row(a) : challenge_row(a)) != 0)
			return err_memory(e, "challenges");
	}
	return 0;
}

/* What a batch publishes, as text; to be freed. NULL: nothing of this kind. */
struct published {
	char *rows, *records;
};

static int dump(char **out, const json_t *list)
{
	if (json_array_size(list) == 0)
		return 0;
	*out = json_dumps(list, JSON_COMPACT);
	return *out ? 0 : -1;
}

static int gather(struct published *p, struct group_batch *b, struct err *e)
{
	json_t *rows = json_array(), *records = json_array();
	int rc = rows && records ? 0 : err_memory(e, "publishing challenges");

	for (size_t i = 0; rc == 0 && i < b->count; i++)
		rc = add_challenges(rows, records, b->orders[i], e);
	if (rc == 0 && (dump(&p->rows, rows) != 0 || dump(&p->records, records) != 0))
		rc = err_memory(e, "publishing challenges");
	json_decref(rows);
	json_decref(records);
	return rc;
}

static void published(struct order *o, const struct store_result *r)
{
	if (r->fault == STORE_NOT_FOUND) {
		log_info("order waits for another one that proves the same name",
			 log_str("id", o->id), log_str("host", o->host));
		order_yield(o, OTHER_WAIT_MS);
	} else if (order_saved(o, r)) {
		o->challenge_revision =
			authorizations_in_fleet(&o->authorizations) ? r->revision : 0;
		order_step(o);
	}
}

static void on_published(const struct store_result *r, void *arg)
{
	group_answer(arg, r, published);
}

/* The challenges enter the fleet's state in one revision with the orders' moves. Two orders may
 * prove one name, and some CAs give both the same token: the second one waits for the first. */
static const char publish_sql[] =
	"WITH given AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS r (id uuid, host text, "
	"token "
	"text, key_authorization text)), made AS (INSERT INTO acme_challenges (id, host, token, "
	"key_authorization) SELECT id, host, token, key_authorization FROM given ON CONFLICT "
	"(host, token) DO NOTHING RETURNING 1) SELECT cardea_expect((SELECT count(*) FROM made) = "
	"(SELECT count(*) FROM given), 'CA001', 'another order proves a name')";
static const char record_sql[] =
	"WITH given AS (SELECT * FROM jsonb_to_recordset($1::jsonb) AS r (id uuid, order_id uuid, "
	"name text, value text)), made AS (INSERT INTO acme_dns_records (id, order_id, name, "
	"value) SELECT id, order_id, name, value FROM given ON CONFLICT (name, value) DO NOTHING "
	"RETURNING 1) SELECT cardea_expect((SELECT count(*) FROM made) = (SELECT count(*) FROM "
	"given), 'CA001', 'another order proves a name')";

void order_publish_batch(struct group_batch *b)
{
	struct store_result failed = {.fault = STORE_FAILED, .err = ERR_INIT};
	struct published p = {NULL, NULL};
	struct txn *t = gather(&p, b, &failed.err) == 0
				? txn_create(b->orders[0]->acme->store, NULL)
				: NULL;

	if (t) {
		orders_save_in(b->orders, b->count, t);
		if (p.rows)
			txn_exec(t, publish_sql, (const char *[]){p.rows}, 1, 0, STORE_OK);
		if (p.records)
			txn_exec(t, record_sql, (const char *[]){p.records}, 1, 0, STORE_OK);
		for (size_t i = 0; i < b->count; i++)
			order_note(b->orders[i], t, &entity_acme_challenges,
				   order_challenge(b->orders[i]));
		txn_commit(t, on_published, b);
	}
	free(p.rows);
	free(p.records);
	if (!t)
		on_published(&failed, b);
}
