/* The rows of data planes without a database: those of this control plane, for as long as it runs.
 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "control-plane/store/memory.h"

enum { LIVE_S = 15, KEEP_S = 14 * 86400 };

static int64_t seen_s(const json_t *row)
{
	return json_integer_value(json_object_get(row, "last_seen"));
}

static void touch(json_t *row)
{
	if (json_object_set_new(row, "last_seen", json_integer(clock_wall_s())) < 0)
		log_error("out of memory: a data plane is not shown as it is");
}

static void write_row(struct memory *m, const char *self, const char *id, json_t *row)
{
	json_t *copy = json_copy(row);

	if (!copy || json_object_set_new(copy, "control_plane", json_string(self)) < 0 ||
	    json_object_set(m->nodes, id, copy) < 0)
		log_error("out of memory: a data plane is not shown as it is");
	else
		touch(copy);
	json_decref(copy);
}

static bool has_room(const struct memory *m, const char *id)
{
	return json_object_get(m->nodes, id) || json_object_size(m->nodes) < MEMORY_NODES_MAX;
}

void memory_nodes_write(struct memory *m, const char *self, const json_t *rows)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i);
		const char *id = json_string_value(json_object_get(row, "id"));

		if (id && has_room(m, id))
			write_row(m, self, id, row);
		else
			log_warn("a data plane is not kept: there are too many");
	}
}

void memory_nodes_beat(struct memory *m)
{
	const char *id;
	json_t *row;

	json_object_foreach(m->nodes, id, row)
	{
		if (json_is_true(json_object_get(row, "connected")))
			touch(row);
	}
}

/* Kong forgets data planes after 14 days. */
void memory_nodes_purge(struct memory *m)
{
	int64_t oldest = clock_wall_s() - KEEP_S;
	const char *id;
	json_t *row;
	void *next;

	json_object_foreach_safe(m->nodes, next, id, row)
	{
		if (seen_s(row) < oldest)
			json_object_del(m->nodes, id);
	}
}

/* What it holds, as 32 digits: equal when and only when epoch and revision are. */
static json_t *config_hash(const json_t *row)
{
	const char *epoch = json_string_value(json_object_get(row, "epoch"));
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;
	struct buf text = BUF_INIT, hex = BUF_INIT;
	json_t *out = NULL;

	if (buf_addf(&text, NULL, "%s:%lld", epoch ? epoch : "",
		     (long long)json_integer_value(json_object_get(row, "revision"))) == 0 &&
	    EVP_Digest(text.data, text.len, digest, &size, EVP_md5(), NULL) == 1 &&
	    hex_encode(&hex, (struct str){(const char *)digest, size}, NULL) == 0)
		out = json_string(hex.data);
	buf_deinit(&text);
	buf_deinit(&hex);
	return out;
}

static json_t *cert_details(const json_t *row)
{
	const json_t *not_after = json_object_get(row, "cert_not_after");

	if (!json_is_number(not_after))
		return json_null();
	return json_pack("{s:I}", "expiry_timestamp", (json_int_t)json_number_value(not_after));
}

static json_t *or_null(const json_t *row, const char *name)
{
	json_t *value = json_object_get(row, name);

	return value ? json_incref(value) : json_null();
}

static int add_refused(json_t *out, const struct memory_table *t, const struct memory_row *row)
{
	json_t *reason = json_object_get(row->refusal, "reason");
	json_t *at = json_object_get(row->refusal, "at");

	return json_array_append_new(
		out, json_pack("{s:I, s:s, s:s, s:O?, s:O?}", "revision", (json_int_t)row->refused,
			       "kind", t->entity->name, "id", row->id, "reason", reason, "at", at));
}

/* What is held back because this data plane refused it. */
static json_t *refused_by(const struct memory *m, const char *node)
{
	json_t *out = json_array();

	for (size_t k = 0; k < MEMORY_KINDS_MAX && m->now->tables[k]; k++) {
		const struct memory_table *t = m->now->tables[k];

		for (size_t i = 0; i < t->count && t->entity->pushed; i++) {
			const char *by =
				json_string_value(json_object_get(t->rows[i].refusal, "node"));

			if (by && strcmp(by, node) == 0) /* not secret */
				(void)!add_refused(out, t, &t->rows[i]);
		}
	}
	return out;
}

/* The refusal of now, else the last of what is held back. */
static json_t *last_nack(const json_t *row, const json_t *refused)
{
	json_t *nack = json_object_get(row, "nack");
	size_t n = json_array_size(refused);

	if (nack && !json_is_null(nack))
		return json_incref(nack);
	return n ? json_incref(json_array_get(refused, n - 1)) : json_null();
}

static json_t *shown(const struct memory *m, const char *id, const json_t *row)
{
	json_t *refused = refused_by(m, id);
	int64_t seen = seen_s(row);
	bool live =
		json_is_true(json_object_get(row, "connected")) && seen > clock_wall_s() - LIVE_S;
	const json_t *labels = json_object_get(row, "labels");

	return json_pack("{s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:[], s:o, s:o, s:b, "
			 "s:o, s:o}",
			 "id", or_null(row, "id"), "last_seen", (json_int_t)seen, "updated_at",
			 (json_int_t)seen, "ip", or_null(row, "ip"), "hostname",
			 or_null(row, "hostname"), "version", or_null(row, "version"),
			 "config_hash", config_hash(row), "sync_status",
			 live ? "normal" : "unknown", "labels",
			 json_object_size(labels) ? or_null(row, "labels") : json_null(),
			 "cert_details", cert_details(row), "rpc_capabilities", "revision",
			 or_null(row, "revision"), "nack", last_nack(row, refused), "connected",
			 live, "control_plane", or_null(row, "control_plane"), "refused", refused);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b); /* not secret */
}

json_t *memory_nodes_list(const struct memory *m)
{
	size_t n = json_object_size(m->nodes), i = 0;
	const char **ids = calloc(n + 1, sizeof(*ids));
	json_t *out = json_array();

	for (void *it = json_object_iter(m->nodes); ids && it;
	     it = json_object_iter_next(m->nodes, it))
		ids[i++] = json_object_iter_key(it);
	if (ids)
		qsort(ids, n, sizeof(*ids), by_id);
	for (i = 0; ids && i < n; i++)
		if (json_array_append_new(out,
					  shown(m, ids[i], json_object_get(m->nodes, ids[i]))) < 0)
			break;
	free(ids);
	if (i == n && ids)
		return out;
	json_decref(out);
	return NULL;
}
