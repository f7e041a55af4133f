/* Entities to parameters and result rows to JSON. */
#include "control-plane/store/rows.h"

#include <math.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/core/log.h"
#include "control-plane/store/record_secrets.h"

/* What a secret is bound to: its place, so that swapped rows do not open. */
static int context_of(struct buf *out, const struct entity *t, const struct field *f,
		      const char *id, struct err *e)
{
	return buf_addf(out, e, "%s.%s:%s", t->name, f->name, id);
}

/* --- to parameters --- */

static int encode_secret(const struct sql *s, const struct keyring *k, const struct field *f,
			 const json_t *row, struct str plain, struct buf *out, struct err *e)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	struct buf context = BUF_INIT;
	struct buf sealed = BUF_INIT;
	int rc = -1;

	if (context_of(&context, s->entity, f, id ? id : "", e) == 0 &&
	    seal(k, buf_str(&context), plain, &sealed, e) == 0 &&
	    buf_add_str(out, STR("\\x"), e) == 0)
		rc = hex_encode(out, buf_str(&sealed), e);
	buf_deinit(&context);
	buf_deinit(&sealed);
	return rc;
}

static int encode_json(const json_t *value, struct buf *out, struct err *e)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	int rc = text ? buf_add_str(out, str_from(text), e) : err_memory(e, "JSON");

	free(text);
	return rc;
}

static int encode_value(const struct field *f, const json_t *value, struct buf *out, struct err *e)
{
	switch (f->type) {
	case FIELD_STRING:
	case FIELD_UUID:
		if (!json_is_string(value))
			break;
		return buf_add(out, json_string_value(value), json_string_length(value), e);
	case FIELD_FOREIGN:
		value = json_object_get(value, "id");
		if (!json_is_string(value))
			break;
		return buf_add(out, json_string_value(value), json_string_length(value), e);
	case FIELD_INTEGER:
	case FIELD_TIMESTAMP:
		if (f->flags & FIELD_PRECISE)
			return buf_addf(out, e, "%.3f", json_number_value(value));
		if (!json_is_integer(value))
			break;
		return buf_addf(out, e, "%lld", (long long)json_integer_value(value));
	case FIELD_NUMBER:
		return buf_addf(out, e, "%.17g", json_number_value(value));
	case FIELD_BOOLEAN:
		return buf_addf(out, e, "%s", json_is_true(value) ? "true" : "false");
	case FIELD_SET:
	case FIELD_ARRAY:
	case FIELD_MAP:
	case FIELD_RECORD:
		return encode_json(value, out, e);
	}
	return err_set(e, ERR_INTERNAL, "field %s has a value of another type", f->name);
}

static bool has_transient(const struct field *f)
{
	for (size_t i = 0; i < f->field_count; i++)
		if (f->fields[i].flags & FIELD_TRANSIENT)
			return true;
	return false;
}

static const struct field *shape_of(const struct field *f, const json_t *row)
{
	const struct field *variant = f->variant ? f->variant(row) : NULL;

	return variant ? variant : f;
}

static int path_of(struct buf *out, const struct entity *t, const struct field *f, struct err *e)
{
	return buf_addf(out, e, "%s.%s", t->name, f->name);
}

static int seal_members(const struct sql *s, const struct keyring *k, const struct field *f,
			const json_t *row, json_t *value, struct err *e)
{
	const char *id = json_string_value(json_object_get(row, "id"));
	struct buf path = BUF_INIT;
	int rc = path_of(&path, s->entity, f, e);

	if (rc == 0)
		rc = record_secrets_seal(f, value, path.data, id ? id : "", k, e);
	buf_deinit(&path);
	return rc;
}

/* What is stored of a value: records without their transient members, and with their secrets
 * sealed. *out is a new reference; NULL when there is no value. */
static int stored_value(const struct sql *s, const struct keyring *k, const struct field *f,
			const json_t *row, json_t **out, struct err *e)
{
	json_t *value = json_object_get(row, f->name);

	f = shape_of(f, row);
	if (f->type != FIELD_RECORD || !json_is_object(value) ||
	    (!has_transient(f) && !record_secrets_has(f))) {
		*out = json_incref(value);
		return 0;
	}
	*out = json_deep_copy(value);
	if (!*out)
		return err_memory(e, "statement");
	if (record_secrets_has(f) && seal_members(s, k, f, row, *out, e) < 0) {
		json_decref(*out);
		return -1;
	}
	for (size_t i = 0; i < f->field_count; i++)
		if (f->fields[i].flags & FIELD_TRANSIENT)
			json_object_del(*out, f->fields[i].name);
	return 0;
}

/* One parameter. */
static int encode_field(const struct sql *s, const struct keyring *k, const struct field *f,
			const json_t *row, struct buf *out, bool *null, struct err *e)
{
	json_t *value = NULL;
	struct str plain;
	int rc = 0;

	if (stored_value(s, k, f, row, &value, e) < 0)
		return -1;
	plain = (struct str){json_string_value(value), json_string_length(value)};
	*null = !value || json_is_null(value);
	if (*null)
		rc = 0;
	else if ((f->flags & FIELD_SECRET) && plain.ptr)
		rc = encode_secret(s, k, f, row, plain, out, e);
	else
		rc = encode_value(f, value, out, e);
	json_decref(value);
	return rc;
}

int rows_encode(const struct sql *s, const struct keyring *k, const json_t *row, struct arena *a,
		const char **out, struct err *e)
{
	for (size_t i = 0; i < s->write_count; i++) {
		struct buf text = BUF_INIT;
		bool null = true;
		int rc = encode_field(s, k, s->write[i], row, &text, &null, e);

		out[i] = rc == 0 && !null ? arena_str(a, buf_str(&text)).ptr : NULL;
		buf_deinit(&text);
		if (rc < 0)
			return err_prefix(e, "%s", s->entity->name);
		if (!null && !out[i])
			return err_memory(e, "statement");
	}
	return 0;
}

/* --- from results --- */

static json_t *decode_secret(const struct sql *s, const struct keyring *k, const struct field *f,
			     const char *id, struct str hex, enum rows_secrets *secrets)
{
	struct buf context = BUF_INIT;
	struct buf sealed = BUF_INIT;
	struct buf plain = {.secret = true};
	struct err e = ERR_INIT;
	json_t *value = NULL;

	if (str_starts(hex, STR("\\x")) && context_of(&context, s->entity, f, id, &e) == 0 &&
	    hex_decode(&sealed, str_sub(hex, 2, hex.len), &e) == 0 &&
	    unseal(k, buf_str(&context), buf_str(&sealed), &plain, &e) == 0)
		value = json_stringn(plain.data, plain.len);
	if (!value) {
		log_error("a stored secret does not open", log_str("entity", s->entity->name),
			  log_str("field", f->name), log_str("id", id), log_err(&e));
		*secrets = e.kind == ERR_NOT_FOUND ? ROWS_NO_KEY : ROWS_DAMAGED;
	}
	buf_deinit(&context);
	buf_deinit(&sealed);
	buf_deinit(&plain);
	return value ? value : json_null();
}

static json_t *integer_json(struct str text)
{
	return json_integer(strtoll(text.ptr, NULL, 10));
}

static json_t *decode_value(const struct field *f, struct str text)
{
	switch (f->type) {
	case FIELD_STRING:
	case FIELD_UUID:
		return json_stringn_nocheck(text.ptr, text.len);
	case FIELD_FOREIGN:
		return json_pack("{s:o}", "id", json_stringn_nocheck(text.ptr, text.len));
	case FIELD_INTEGER:
	case FIELD_TIMESTAMP:
		if (!(f->flags & FIELD_PRECISE))
			return integer_json(text);
		return json_real(strtod(text.ptr, NULL));
	case FIELD_NUMBER:
		return json_real(strtod(text.ptr, NULL));
	case FIELD_BOOLEAN:
		return json_boolean(text.ptr[0] == 't');
	case FIELD_SET:
	case FIELD_ARRAY:
	case FIELD_MAP:
	case FIELD_RECORD:
		break;
	}
	return json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
}

/* value, with its secrets open; the fields before it are in row. */
static json_t *decode_record(const struct sql *s, const struct keyring *k, const struct field *f,
			     const char *id, const json_t *row, json_t *value,
			     enum rows_secrets *secrets)
{
	struct buf path = BUF_INIT;
	struct err e = ERR_INIT;

	f = shape_of(f, row);
	if (!record_secrets_has(f))
		return value;
	if (path_of(&path, s->entity, f, &e) < 0 ||
	    record_secrets_open(f, value, path.data, id, k, &e) < 0) {
		log_error("a stored secret does not open", log_str("entity", s->entity->name),
			  log_str("field", f->name), log_str("id", id), log_err(&e));
		*secrets = e.kind == ERR_NOT_FOUND ? ROWS_NO_KEY : ROWS_DAMAGED;
	}
	buf_deinit(&path);
	return value;
}

json_t *rows_decode(const struct sql *s, const struct keyring *k, const struct pg_result *r,
		    size_t row, enum rows_secrets *secrets, struct err *e)
{
	json_t *out = json_object();
	/* id is the first common field. */
	const char *id = pg_result_text(r, row, 0).ptr;
	enum rows_secrets found = ROWS_OPEN;
	int rc = out ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < s->read_count; i++) {
		const struct field *f = s->read[i];
		struct str text = pg_result_text(r, row, i);
		json_t *value;

		if (!text.ptr)
			value = json_null();
		else if (f->flags & FIELD_SECRET)
			value = decode_secret(s, k, f, id ? id : "", text, &found);
		else
			value = decode_value(f, text);
		if (json_is_object(value))
			value = decode_record(s, k, f, id ? id : "", out, value, &found);
		rc = json_object_set_new_nocheck(out, f->name, value);
	}
	if (rc == 0)
		rc = json_object_set_new_nocheck(
			out, "version", integer_json(pg_result_text(r, row, s->read_count)));
	if (rc < 0) {
		json_decref(out);
		err_memory(e, "rows");
		return NULL;
	}
	if (secrets)
		*secrets = found;
	return out;
}

/* --- plain results --- */

/* "2026-11-21 10:03:48.975491+00" (datestyle ISO, time zone UTC) to seconds with fraction. */
static json_t *plain_time(struct str text)
{
	char iso[48];
	int64_t seconds;
	double fraction = 0;
	size_t dot = str_find(text, '.', 0);

	if (text.len < 20 || text.len >= sizeof(iso))
		return json_null();
	snprintf(iso, sizeof(iso), "%.10sT%.8sZ", text.ptr, text.ptr + 11);
	if (clock_parse_rfc3339(str_from(iso), &seconds, NULL) < 0)
		return json_null();
	if (dot < text.len)
		fraction = strtod(text.ptr + dot, NULL);
	return json_real((double)seconds + fraction);
}

static json_t *plain_number(struct str text)
{
	double real = strtod(text.ptr, NULL);

	if (str_find(text, '.', 0) == text.len && fabs(real) < 9e18)
		return integer_json(text);
	return isfinite(real) ? json_real(real) : json_null();
}

static json_t *plain_float(struct str text)
{
	double real = strtod(text.ptr, NULL);

	return isfinite(real) ? json_real(real) : json_null();
}

static json_t *plain_boolean(struct str text)
{
	return json_boolean(text.ptr[0] == 't');
}

static json_t *plain_json(struct str text)
{
	return json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
}

static json_t *plain_value(unsigned type, struct str text)
{
	/* pg_type's oids are fixed for built-in types. */
	static const struct {
		unsigned type;
		json_t *(*decode)(struct str text);
	} decoders[] = {
		{16, plain_boolean}, {20, integer_json}, {21, integer_json}, {23, integer_json},
		{26, integer_json},  {700, plain_float}, {701, plain_float}, {1700, plain_number},
		{114, plain_json},   {3802, plain_json}, {1184, plain_time},
	};

	if (!text.ptr)
		return json_null();
	for (size_t i = 0; i < array_len(decoders); i++)
		if (decoders[i].type == type)
			return decoders[i].decode(text);
	return json_stringn_nocheck(text.ptr, text.len);
}

json_t *rows_plain(const struct pg_result *r, struct err *e)
{
	json_t *rows = json_array();
	size_t n = pg_result_rows(r);
	int rc = rows ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		json_t *row = json_object();

		for (size_t c = 0; row && c < pg_result_columns(r); c++)
			if (json_object_set_new_nocheck(
				    row, pg_result_name(r, c),
				    plain_value(pg_result_type(r, c), pg_result_text(r, i, c))) < 0)
				rc = -1;
		if (json_array_append_new(rows, row) < 0)
			rc = -1;
	}
	if (rc == 0)
		return rows;
	json_decref(rows);
	err_memory(e, "rows");
	return NULL;
}
