/* The certificate that came: checked, then made live.
 *
 * Happy path: check (pool) -> look where the names' SNIs point -> one transaction: certificate,
 * SNIs, removal of the challenges, the order's end. One revision, so that every data plane has all
 * or none. Orders that come at the same time share both; when one of them fails a transaction, each
 * gets its own. Failure paths: a certificate that is not what was asked for fails the order, and
 * the old one stays (CH-10); an SNI that became a manual one fails it too; an SNI that changed
 * under our hands, or a lost lease, ends the run: the row still says downloading, and whoever has
 * it next repeats this.
 */
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/cert.h"
#include "common/pki/san.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/install_internal.h"
#include "control-plane/acme/names.h"

enum { CLOCK_SKEW_S = 300 }; /* how far in the future a certificate may begin */

void install_free(struct install *i)
{
	if (!i)
		return;
	buf_deinit(&i->chain);
	buf_deinit(&i->key_pem);
	json_decref(i->pair);
	json_decref(i->at.snis);
	free(i);
}

static void internal_trouble(struct order *o, const struct err *e)
{
	struct problem p;

	problem_from_err(&p, "internal", e);
	order_trouble(o, &p);
}

/* --- the check (thread: pool; the order waits and is not touched meanwhile) --- */

struct same {
	struct str name;
	bool found;
};

static int compare_same(struct str name, void *arg, struct err *e)
{
	struct same *s = arg;

	(void)e;
	s->found = s->found || str_eq(name, s->name);
	return 0;
}

static bool covers(X509 *leaf, struct str name)
{
	char text[NAMES_REVERSE_SIZE];
	struct same wildcard = {name, false};

	if (str_starts(name, STR("*.")))
		return cert_dns_names(leaf, compare_same, &wildcard, NULL) == 0 && wildcard.found;
	if (!san_is_ip(name))
		return cert_covers(leaf, name);
	snprintf(text, sizeof(text), "%.*s", (int)name.len, name.ptr);
	return cert_covers_address(leaf, text);
}

int install_check_names(X509 *leaf, struct str names, struct err *e)
{
	struct str name = STR_NONE;

	while (str_split(&names, ' ', &name))
		if (!covers(leaf, name))
			return err_set(e, ERR_INVALID, "it does not cover %.*s", (int)name.len,
				       name.ptr);
	return 0;
}

static int check_names_and_dates(struct install *i, struct str names, struct err *e)
{
	X509 *leaf = NULL;
	int rc;

	if (cert_leaf_from_pem(&leaf, buf_str(&i->chain), e) != 0)
		return -1;
	rc = install_check_names(leaf, names, e);
	if (renewal_id(i->ari_id, leaf, NULL) != 0)
		i->ari_id[0] = '\0';
	X509_free(leaf);
	if (rc != 0)
		return -1;
	if (i->info.not_before > clock_wall_s() + CLOCK_SKEW_S)
		return err_set(e, ERR_INVALID, "it is not valid yet");
	if (i->info.not_after <= clock_wall_s())
		return err_set(e, ERR_INVALID, "it has expired already");
	return 0;
}

static int check(struct install *i, EVP_PKEY *key, struct str names, struct err *e)
{
	struct cert_pair pair;

	if (key_to_pem(&i->key_pem, key, e) != 0 ||
	    cert_pair_from_pem(&pair, buf_str(&i->chain), buf_str(&i->key_pem), e) != 0)
		return -1;
	i->info = pair.info;
	cert_pair_free(&pair);
	return check_names_and_dates(i, names, e);
}

static void run_check(struct work *w)
{
	struct order *o = container_of(w, struct order, work);

	err_clear(&o->work_err);
	o->install->checked = check(o->install, o->key, order_names(o), &o->work_err) == 0;
}

/* --- the placement --- */

/* A certificate that an earlier order made for these names alone is replaced under its id; anything
 * else keeps what it has. */
static int place(struct order *o, bool *alone_out, struct err *e)
{
	struct placement *at = &o->install->at;
	const json_t *first = json_array_get(at->snis, 0), *row;
	bool alone = first && json_integer_value(json_object_get(first, "users")) ==
				      (json_int_t)json_array_size(at->snis);
	size_t i;

	json_array_foreach(at->snis, i, row)
	{
		alone = alone && str_eq(str_from(row_text(row, "certificate_id")),
					str_from(row_text(first, "certificate_id")));
	}
	*alone_out = alone;
	at->certificate_created = clock_wall_s();
	if (!alone)
		return uuid_make(o->certificate_id, e);
	snprintf(o->certificate_id, sizeof(o->certificate_id), "%s",
		 row_text(first, "certificate_id"));
	at->certificate_tags = json_object_get(first, "certificate_tags");
	at->certificate_created = json_integer_value(json_object_get(first, "certificate_created"));
	return 0;
}

/* An SNI of somebody else's certificate; NULL: none. */
static const json_t *foreign_sni(const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (!json_is_true(json_object_get(row, "managed")))
			return row;
	}
	return NULL;
}

/* A second certificate without a first one's entity to join. */
static bool no_first(const struct order *o, bool alone)
{
	return o->pair_of[0] &&
	       !(alone && json_array_size(o->install->at.snis) == names_count(order_names(o)));
}

static void look_at_placement(struct order *o);

/* The certificate as it is, then the placement once more: nothing of it is kept meanwhile. */
static void on_pair(const struct store_result *r, void *arg)
{
	struct order *o = arg;

	if (!order_awoke(o))
		return;
	if (r->fault != STORE_OK) {
		order_saved(o, r);
		return;
	}
	json_decref(o->install->pair);
	o->install->pair = json_incref(json_array_get(r->rows, 0));
	look_at_placement(o);
}

static void read_pair(struct order *o)
{
	order_sleep(o);
	store_get(o->acme->store, &entity_certificates, str_from(o->certificate_id), on_pair, o);
}

static bool pair_is_read(const struct order *o)
{
	return str_eq(str_from(row_text(o->install->pair, "id")), str_from(o->certificate_id));
}

static void placed(struct order *o)
{
	const json_t *foreign = foreign_sni(o->install->at.snis);
	bool alone = false;
	struct problem p;
	struct err e = ERR_INIT;

	if (foreign) {
		problem_own(&p, "sni",
			    "the SNI %s was given to a certificate that is not tagged %s while "
			    "the order was at work",
			    row_text(foreign, "name"), INSTALL_TAG);
		order_trouble(o, &p);
	} else if (place(o, &alone, &e) != 0) {
		internal_trouble(o, &e);
	} else if (no_first(o, alone)) {
		problem_own(&p, "pair",
			    "the names do not share a certificate any more that this could be the "
			    "second of");
		order_trouble(o, &p);
	} else if (install_is_pair(o) && alone && !pair_is_read(o)) {
		read_pair(o);
	} else {
		if (!alone) {
			json_decref(o->install->pair);
			o->install->pair = NULL;
		}
		install_make_valid(o);
		group_add(&o->acme->installs, o);
	}
}

/* The rows of the order's names; NULL: memory. */
static json_t *rows_of_names(const json_t *rows, const struct order *o)
{
	json_t *own = json_array(), *row;
	size_t i;
	int rc = own ? 0 : -1;

	json_array_foreach(rows, i, row)
	{
		if (rc == 0 && names_has(order_names(o), str_from(row_text(row, "name"))))
			rc = json_array_append(own, row);
	}
	if (rc == 0)
		return own;
	json_decref(own);
	return NULL;
}

static void take_placement(struct order *o, const struct store_result *r)
{
	struct err e = ERR_INIT;

	if (r->fault != STORE_OK) {
		order_saved(o, r);
		return;
	}
	json_decref(o->install->at.snis);
	o->install->at = (struct placement){.snis = rows_of_names(r->rows, o)};
	if (o->install->at.snis) {
		placed(o);
	} else {
		err_memory(&e, "SNIs of an order");
		internal_trouble(o, &e);
	}
}

static void on_placements(const struct store_result *r, void *arg)
{
	group_answer(arg, r, take_placement);
}

void install_place_batch(struct group_batch *b)
{
	static const char sql[] =
		"SELECT lower(s.name) AS name, s.id AS sni_id, s.certificate AS certificate_id, "
		"to_jsonb(s.tags) AS sni_tags, s.tls_min_version, to_jsonb(c.tags) AS "
		"certificate_tags, "
		"extract(epoch FROM s.created_at)::bigint AS sni_created, extract(epoch FROM "
		"c.created_at)::bigint AS certificate_created, coalesce('managed-by-acme' = ANY "
		"(c.tags), "
		"false) AS managed, (SELECT count(*) FROM snis u WHERE u.certificate = "
		"s.certificate) AS "
		"users FROM snis s JOIN certificates c ON c.id = s.certificate WHERE lower(s.name) "
		"= ANY "
		"(string_to_array($1, ' ')) ORDER BY s.id";
	struct store_result failed = {.fault = STORE_FAILED, .err = ERR_INIT};
	struct buf names = BUF_INIT;

	if (group_names(b, &names, &failed.err) == 0)
		store_query(b->orders[0]->acme->store, sql, (const char *[]){names.data}, 1,
			    on_placements, b);
	else
		on_placements(&failed, b);
	buf_deinit(&names);
}

static void look_at_placement(struct order *o)
{
	group_add(&o->acme->placements, o);
}

static void on_checked(struct work *w)
{
	struct order *o = container_of(w, struct order, work);
	struct problem p;

	if (!order_awoke(o))
		return;
	if (!o->install->checked) {
		problem_own(&p, "certificate", "the CA's certificate is not installed: %s",
			    o->work_err.message);
		order_trouble(o, &p);
		return;
	}
	look_at_placement(o);
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
