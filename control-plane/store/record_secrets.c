#include "control-plane/store/record_secrets.h"

#include "common/core/codec.h"

static const struct str mark = {"sealed:", 7};

/* What is done to one text: *out is a new reference. */
typedef int change_fn(const struct keyring *k, struct str context, struct str text, json_t **out,
		      struct err *e);

bool record_secrets_has(const struct field *f)
{
	for (size_t i = 0; f->type == FIELD_RECORD && i < f->field_count; i++)
		if (((f->fields[i].flags & FIELD_SECRET) &&
		     !(f->fields[i].flags & FIELD_TRANSIENT)) ||
		    record_secrets_has(&f->fields[i]))
			return true;
	return false;
}

static int seal_text(const struct keyring *k, struct str context, struct str text, json_t **out,
		     struct err *e)
{
	struct buf sealed = BUF_INIT, stored = BUF_INIT;
	int rc = -1;

	if (seal(k, context, text, &sealed, e) == 0 && buf_add_str(&stored, mark, e) == 0 &&
	    hex_encode(&stored, buf_str(&sealed), e) == 0) {
		*out = json_stringn(stored.data, stored.len);
		rc = *out ? 0 : err_memory(e, "a secret");
	}
	buf_deinit(&sealed);
	buf_deinit(&stored);
	return rc;
}

static int open_text(const struct keyring *k, struct str context, struct str text, json_t **out,
		     struct err *e)
{
	struct buf sealed = BUF_INIT, plain = {.secret = true};
	int rc = -1;

	if (!str_starts(text, mark)) {
		*out = json_stringn(text.ptr, text.len);
		return *out ? 0 : err_memory(e, "a secret");
	}
	*out = NULL;
	if (hex_decode(&sealed, str_sub(text, mark.len, text.len), e) == 0 &&
	    unseal(k, context, buf_str(&sealed), &plain, e) == 0) {
		*out = json_stringn(plain.data, plain.len);
		rc = *out ? 0 : err_memory(e, "a secret");
	}
	if (!*out)
		*out = json_null();
	buf_deinit(&sealed);
	buf_deinit(&plain);
	return rc;
}

static int change_one(const struct field *f, json_t *record, const char *path, const char *id,
		      const struct keyring *k, change_fn *change, struct err *e)
{
	const json_t *held = json_object_get(record, f->name);
	struct buf context = BUF_INIT;
	json_t *out = NULL;
	int rc = 0;

	if (!json_is_string(held))
		return 0;
	rc = buf_addf(&context, e, "%s.%s:%s", path, f->name, id);
	if (rc == 0)
		rc = change(k, buf_str(&context),
			    (struct str){json_string_value(held), json_string_length(held)}, &out,
			    e);
	if (out && json_object_set_new(record, f->name, out) < 0)
		rc = err_memory(e, "a secret");
	buf_deinit(&context);
	return rc;
}

static int change_all(const struct field *f, json_t *value, const char *path, const char *id,
		      const struct keyring *k, change_fn *change, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < f->field_count; i++) {
		const struct field *inner = &f->fields[i];
		struct buf below = BUF_INIT;

		if (inner->flags & FIELD_SECRET) {
			if (change_one(inner, value, path, id, k, change, e) < 0)
				rc = -1;
		} else if (record_secrets_has(inner)) {
			if (buf_addf(&below, e, "%s.%s", path, inner->name) < 0 ||
			    change_all(inner, json_object_get(value, inner->name), below.data, id,
				       k, change, e) < 0)
				rc = -1;
		}
		buf_deinit(&below);
	}
	return rc;
}

int record_secrets_seal(const struct field *f, json_t *value, const char *path, const char *id,
			const struct keyring *k, struct err *e)
{
	return change_all(f, value, path, id, k, seal_text, e);
}

int record_secrets_open(const struct field *f, json_t *value, const char *path, const char *id,
			const struct keyring *k, struct err *e)
{
	return change_all(f, value, path, id, k, open_text, e);
}
