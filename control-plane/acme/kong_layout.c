#include "control-plane/acme/kong_layout.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "common/core/codec.h"

enum { URI_MAX = 1023, EMAIL_MAX = 320 };

/* --- keys --- */

static const struct kind_row {
	const char *prefix;
	enum kong_kind kind;
	bool whole; /* the key itself, nothing behind it */
} kind_rows[] = {
	{KONG_PREFIX "account:", KONG_ACCOUNT, false},
	{KONG_PREFIX "cert_key:", KONG_CERTIFICATE, false},
	{KONG_PREFIX "renew_config:", KONG_HOST, false},
	{KONG_PREFIX "update_lock:", KONG_PASSING, false},
	{KONG_PREFIX "fail_backoff:", KONG_PASSING, false},
	{KONG_PREFIX "renew_last_run", KONG_PASSING, true},
};

const char *kong_kind_name(enum kong_kind k)
{
	static const char *const names[KONG_KINDS] = {
		[KONG_ACCOUNT] = "account", [KONG_CERTIFICATE] = "certificate",
		[KONG_HOST] = "host",	    [KONG_PASSING] = "passing",
		[KONG_OTHER] = "other",
	};

	return names[k];
}

struct kong_key kong_key_read(struct str key)
{
	for (size_t i = 0; i < array_len(kind_rows); i++) {
		struct str prefix = str_from(kind_rows[i].prefix);

		if (kind_rows[i].whole ? str_eq(key, prefix) : str_starts(key, prefix))
			return (struct kong_key){kind_rows[i].kind,
						 str_sub(key, prefix.len, key.len)};
	}
	if (str_ends(key, STR("#http-01")) || str_ends(key, STR("#tls-alpn-01")))
		return (struct kong_key){KONG_PASSING, key};
	return (struct kong_key){KONG_OTHER, key};
}

static bool is_line(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] <= ' ' || (unsigned char)text.ptr[i] >= 0x7F)
			return false;
	return text.len > 0;
}

int kong_account_read(struct str name, struct str *uri, struct buf *email, struct err *e)
{
	size_t colon = name.len;
	struct buf base64 = BUF_INIT;
	size_t before = email->len;
	int rc;

	while (colon > 0 && name.ptr[colon - 1] != ':')
		colon--;
	if (colon < 2 || colon - 1 > URI_MAX)
		return err_set(e, ERR_INVALID, "the key names no authority and address");
	*uri = str_sub(name, 0, colon - 1);
	rc = buf_add_str(&base64, str_sub(name, colon, name.len), e);
	/* No base64 has a dash: it was a slash. */
	for (size_t i = 0; rc == 0 && i < base64.len; i++)
		if (base64.data[i] == '-')
			base64.data[i] = '/';
	if (rc == 0)
		rc = base64_decode(email, buf_str(&base64), e);
	buf_deinit(&base64);
	if (rc != 0)
		return err_prefix(e, "the key's address");
	if (!is_line(*uri) || email->len - before > EMAIL_MAX ||
	    !is_line(str_sub(buf_str(email), before, email->len)))
		return err_set(e, ERR_INVALID,
			       "the key's authority or address has bytes that "
			       "neither has");
	return 0;
}

bool kong_uri_is(struct str in_key, struct str uri)
{
	bool same = in_key.len == uri.len;

	for (size_t i = 0; same && i < uri.len; i++)
		same = in_key.ptr[i] == uri.ptr[i] || (uri.ptr[i] == '/' && in_key.ptr[i] == '-');
	return same;
}

/* --- values --- */

static int read_object(json_t **out, struct str value, struct err *e)
{
	json_error_t why;

	*out = json_loadb(value.ptr ? value.ptr : "", value.len, 0, &why);
	if (json_is_object(*out))
		return 0;
	json_decref(*out);
	*out = NULL;
	return err_set(e, ERR_INVALID, "the value is no JSON object");
}

static int read_text(const json_t *object, const char *name, struct buf *out, struct err *e)
{
	const json_t *v = json_object_get(object, name);

	if (!v)
		return err_set(e, ERR_INVALID, "the value has no \"%s\"", name);
	if (!json_is_string(v) || json_string_length(v) == 0 ||
	    strlen(json_string_value(v)) != json_string_length(v))
		return err_set(e, ERR_INVALID, "the value's \"%s\" is no text", name);
	return buf_add_str(out, (struct str){json_string_value(v), json_string_length(v)}, e);
}

int kong_read_account_key(struct str value, struct buf *key, struct err *e)
{
	json_t *object;
	int rc = read_object(&object, value, e);

	if (rc == 0)
		rc = read_text(object, "key", key, e);
	json_decref(object);
	return rc;
}

int kong_read_certificate(struct str value, struct buf *cert, struct buf *key, struct err *e)
{
	json_t *object;
	int rc = read_object(&object, value, e);

	if (rc == 0)
		rc = read_text(object, "key", key, e);
	if (rc == 0)
		rc = read_text(object, "cert", cert, e);
	json_decref(object);
	return rc;
}

int kong_read_host(struct str value, struct buf *host, int64_t *expire_at, struct err *e)
{
	const json_t *v;
	json_t *object;
	double n;
	int rc = read_object(&object, value, e);

	if (rc == 0)
		rc = read_text(object, "host", host, e);
	v = json_object_get(object, "expire_at");
	n = json_number_value(v);
	if (rc == 0 && (!json_is_number(v) || !(n >= 0 && n < 1e15)))
		rc = err_set(e, ERR_INVALID, "the value's \"expire_at\" is no time");
	if (rc == 0)
		*expire_at = (int64_t)n;
	json_decref(object);
	return rc;
}

/* --- the other way round --- */

int kong_write_key(struct buf *out, enum kong_kind kind, struct str host, struct err *e)
{
	for (size_t i = 0; i < array_len(kind_rows); i++)
		if (kind_rows[i].kind == kind) {
			if (buf_add_str(out, str_from(kind_rows[i].prefix), e) != 0)
				return -1;
			return buf_add_str(out, host, e);
		}
	return err_set(e, ERR_INTERNAL, "no such kind of key");
}

int kong_write_account_name(struct buf *out, struct str uri, struct str email, struct err *e)
{
	if (buf_add_str(out, uri, e) != 0 || buf_add(out, ":", 1, e) != 0)
		return -1;
	return base64_encode(out, email, e);
}

/* Takes the object over. */
static int write_object(struct buf *out, json_t *object, struct err *e)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	int rc = text ? buf_add_str(out, str_from(text), e)
		      : err_set(e, ERR_INVALID, "a value is no UTF-8 text");

	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
	json_decref(object);
	return rc;
}

int kong_write_account_key(struct buf *out, struct str key, struct err *e)
{
	return write_object(out, json_pack("{s:s%}", "key", key.ptr, key.len), e);
}

int kong_write_certificate(struct buf *out, struct str cert, struct str key, struct err *e)
{
	return write_object(
		out, json_pack("{s:s%, s:s%}", "key", key.ptr, key.len, "cert", cert.ptr, cert.len),
		e);
}

int kong_write_host(struct buf *out, struct str host, int64_t expire_at, struct err *e)
{
	return write_object(out,
			    json_pack("{s:s%, s:I}", "host", host.ptr, host.len, "expire_at",
				      (json_int_t)expire_at),
			    e);
}
