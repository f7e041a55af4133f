/* What is issued, into the storage of the plugin acme, as Kong writes it: Kong's nodes that share
 * it go on with the newest certificates while a fleet moves.
 *
 *    each second: claim some orders (no other control plane takes them for a while) --> a storage
 * is opened --> of each: its certificate, for each name cert_key and renew_config --> marked -->
 * the storage is closed
 *
 * Happy path: an order is written once. Failure paths: a storage that is away ends the batch, which
 * comes again when the claim is over; a certificate that is gone, and names that the plugin does
 * not cover, are marked without being written. */
#include <stdio.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/acme/engine.h"
#include "control-plane/acme/install_internal.h"
#include "control-plane/acme/kong_layout.h"
#include "control-plane/acme/storage.h"

enum { BATCH = 16 };

struct write_through {
	struct acme *acme;
	struct storage *storage;
	json_t *rows, *certificate; /* claimed; of the row at work */
	size_t at;
	struct buf names; /* of that row, a space between */
	struct str rest;  /* those that are left of it */
	struct str name;
	bool has_pair; /* cert_key of name is written */
	bool waiting;  /* for the storage, which does not call back once it is closed */
	bool closing;
};

/* --- the end --- */

static void on_closed(void *arg)
{
	struct write_through *w = arg;
	struct acme *a = w->acme;

	json_decref(w->rows);
	json_decref(w->certificate);
	buf_deinit(&w->names);
	free(w);
	a->write_through = NULL;
	(void)acme_awoke(a);
}

static void end(struct write_through *w)
{
	if (w->closing)
		return;
	w->closing = true;
	storage_close(w->storage, on_closed, w);
}

void write_through_close(struct acme *a)
{
	if (a->write_through && a->write_through->waiting)
		end(a->write_through);
}

/* --- one order --- */

static void next_row(struct write_through *w);

static const char *row_id(const struct write_through *w)
{
	return row_text(json_array_get(w->rows, w->at), "id");
}

static void on_marked(const struct store_result *r, void *arg)
{
	struct write_through *w = arg;

	if (r->fault != STORE_OK || w->acme->closing) {
		end(w);
		return;
	}
	w->at++;
	next_row(w);
}

static void mark(struct write_through *w)
{
	const char *params[] = {row_id(w)};

	store_query(w->acme->store, "UPDATE acme_orders SET stored_next = 'infinity' WHERE id = $1",
		    params, array_len(params), on_marked, w);
}

static void next_name(struct write_through *w);
static void put(struct write_through *w);

static void on_put(const struct storage_reply *r, void *arg)
{
	struct write_through *w = arg;

	w->waiting = false;
	if (r->err.kind != ERR_NONE) {
		log_warn("a certificate is not written to the storage yet",
			 log_str("order", row_id(w)), log_err(&r->err));
		end(w);
		return;
	}
	w->has_pair = !w->has_pair;
	if (w->has_pair)
		put(w);
	else
		next_name(w);
}

static int build(struct write_through *w, struct buf *key, struct buf *value, struct err *e)
{
	const json_t *row = json_array_get(w->rows, w->at);

	if (kong_write_key(key, w->has_pair ? KONG_HOST : KONG_CERTIFICATE, w->name, e) != 0)
		return -1;
	if (w->has_pair)
		return kong_write_host(value, w->name,
				       json_integer_value(json_object_get(row, "not_after")), e);
	return kong_write_certificate(value, str_from(row_text(w->certificate, "cert")),
				      str_from(row_text(w->certificate, "key")), e);
}

static void put(struct write_through *w)
{
	struct buf key = BUF_INIT, value = {.secret = true};
	struct err e = ERR_INIT;

	if (build(w, &key, &value, &e) == 0) {
		w->waiting = true;
		storage_set(w->storage, buf_str(&key), buf_str(&value), 0, on_put, w);
	} else {
		log_error("a certificate is not written to the storage", log_err(&e));
		end(w);
	}
	buf_deinit(&key);
	buf_deinit(&value);
}

static void next_name(struct write_through *w)
{
	w->has_pair = false;
	if (str_split(&w->rest, ' ', &w->name) && w->name.len > 0)
		put(w);
	else
		mark(w);
}

static void on_certificate(const struct store_result *r, void *arg)
{
	struct write_through *w = arg;

	if (r->fault != STORE_OK || w->acme->closing) {
		end(w);
		return;
	}
	json_decref(w->certificate);
	w->certificate = json_incref(json_array_get(r->rows, 0));
	if (w->certificate)
		next_name(w);
	else
		mark(w);
}

/* False: no memory. */
static bool read_names(struct write_through *w)
{
	const json_t *row = json_array_get(w->rows, w->at);
	const char *more = row_text(row, "more");

	buf_clear(&w->names);
	if (buf_addf(&w->names, NULL, "%s%s%s", row_text(row, "host"), more[0] ? " " : "", more) !=
	    0)
		return false;
	w->rest = buf_str(&w->names);
	return true;
}

static void next_row(struct write_through *w)
{
	struct acme *a = w->acme;
	const char *certificate;

	if (w->at >= json_array_size(w->rows) || !read_names(w)) {
		end(w);
		return;
	}
	certificate = row_text(json_array_get(w->rows, w->at), "certificate_id");
	if (certificate[0] && policy_covers(a->policy, buf_str(&w->names)))
		store_get(a->store, &entity_certificates, str_from(certificate), on_certificate, w);
	else
		mark(w);
}

/* --- which --- */

static bool wanted(const json_t *policy)
{
	const char *storage = policy_text(policy, "storage");

	return storage && !str_eq(str_from(storage), STR("kong")) &&
	       !str_eq(str_from(storage), STR("shm"));
}

static void on_claimed(const struct store_result *r, void *arg)
{
	struct acme *a = arg;
	const struct storage_limits limits = {
		.value_max = a->conf.storage_value_max,
		.keys_max = a->conf.storage_keys_max,
		.ca_file = a->conf.storage_ca_file,
	};
	struct write_through *w = NULL;
	struct err e = ERR_INIT;

	a->write_through_claiming = false;
	if (r->fault == STORE_OK && json_array_size(r->rows) > 0 && !a->closing && a->policy)
		w = calloc(1, sizeof(*w));
	if (w && storage_open(&w->storage, a->loop, a->policy, &limits, &e) != 0) {
		log_warn("the storage of the plugin acme cannot be used", log_err(&e));
		free(w);
		w = NULL;
	}
	if (!w) {
		(void)acme_awoke(a);
		return;
	}
	/* The engine waits for its end as it did for the query. */
	w->acme = a;
	w->rows = json_incref(r->rows);
	a->write_through = w;
	next_row(w);
}

void write_through_tick(struct acme *a)
{
	char limit[16];
	const char *params[] = {limit};

	if (a->write_through || a->write_through_claiming || a->closing || !wanted(a->policy))
		return;
	snprintf(limit, sizeof(limit), "%d", BATCH);
	a->write_through_claiming = true;
	acme_sleep(a);
	store_query(
		a->store,
		"UPDATE acme_orders o SET stored_next = now() + interval '30 seconds' FROM "
		"(SELECT id FROM acme_orders WHERE state = 'valid' AND renew_at IS NOT NULL AND "
		"stored_next < 'infinity' AND stored_next <= now() ORDER BY stored_next LIMIT "
		"$1::bigint FOR UPDATE SKIP LOCKED) d WHERE o.id = d.id RETURNING o.id, o.host, "
		"o.more, o.certificate_id, extract(epoch FROM o.not_after)::bigint AS not_after",
		params, array_len(params), on_claimed, a);
}
