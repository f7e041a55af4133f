/* Pages of lists. An offset is the unpadded base64url of a JSON array: the key of the last row, so
 * that pages stay right while rows come and go. */
#include "control-plane/admin/page.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/codec.h"
#include "control-plane/admin/fault.h"

enum { SIZE_DEFAULT = 100, SIZE_MAX_ROWS = 1000, OFFSET_MAX = 4096, OFFSET_SHOWN = 128 };
enum { TIMED_KEY = 2, SECONDS_DIGITS_MAX = 12 }; /* the time and the id; up to the year 33658 */

bool page_size(struct admin_request *r, unsigned *size)
{
	struct str text = admin_query(r, "size");
	char *end = NULL, *copy;
	double real;
	uint64_t n;

	*size = SIZE_DEFAULT;
	if (!text.ptr)
		return true;
	if (str_u64(text, &n) == 0 && n >= 1 && n <= SIZE_MAX_ROWS) {
		*size = (unsigned)n;
		return true;
	}
	copy = str_dup(text);
	real = copy ? strtod(copy, &end) : 0;
	(void)real;
	if (!copy || end == copy || *end)
		fault_code(r, 400, 9, "invalid size", NULL, "size must be a number");
	else
		fault_code(r, 400, 9, "invalid size", NULL,
			   "size must be an integer between 1 and %d", SIZE_MAX_ROWS);
	free(copy);
	return false;
}

/* Seconds since 1970, maybe with a fraction. */
static bool is_seconds(const char *text)
{
	size_t whole = strspn(text, "0123456789");

	text += whole;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	return whole > 0 && whole <= SECONDS_DIGITS_MAX && *text == '\0';
}

static bool is_key(const json_t *array, size_t n)
{
	const json_t *one;
	size_t i;

	if (json_array_size(array) != n)
		return false;
	json_array_foreach(array, i, one)
	{
		if (!json_is_string(one))
			return false;
	}
	if (n == TIMED_KEY && !is_seconds(json_string_value(json_array_get(array, 0))))
		return false;
	return uuid_is(str_from(json_string_value(json_array_get(array, n - 1))));
}

/* The array in the query's offset, new reference; NULL without one. Answers 400 unless it returns
 * true. */
static bool read_offset(struct admin_request *r, bool (*is_right)(const json_t *array, size_t n),
			size_t n, json_t **out)
{
	struct str text = admin_query(r, "offset");
	struct buf raw = BUF_INIT;
	json_t *array = NULL;
	const char *why = NULL;

	*out = NULL;
	if (!text.ptr)
		return true;
	if (text.len > OFFSET_MAX || base64url_decode(&raw, text, NULL) < 0)
		why = "bad base64 encoding";
	else
		array = json_loadb(raw.data ? raw.data : "", raw.len, 0, NULL);
	if (!why && !is_right(array, n))
		why = "bad json encoding";
	buf_deinit(&raw);
	if (!why) {
		*out = array;
		return true;
	}
	json_decref(array);
	fault_code(r, 400, 7, "invalid offset", NULL, "'%.*s' is not a valid offset: %s",
		   (int)(text.len > OFFSET_SHOWN ? OFFSET_SHOWN : text.len), text.ptr, why);
	return false;
}

bool page_offset(struct admin_request *r, size_t n, json_t **out)
{
	return read_offset(r, is_key, n, out);
}

static bool is_number(const json_t *array, size_t n)
{
	return json_array_size(array) == n && json_integer_value(json_array_get(array, 0)) > 0;
}

static bool is_text(const json_t *array, size_t n)
{
	const json_t *one = json_array_get(array, 0);

	return json_array_size(array) == n && json_is_string(one) && json_string_length(one) > 0 &&
	       strlen(json_string_value(one)) == json_string_length(one);
}

bool page_offset_text(struct admin_request *r, json_t **out)
{
	json_t *array;

	*out = NULL;
	if (!read_offset(r, is_text, 1, &array))
		return false;
	if (array)
		*out = json_incref(json_array_get(array, 0));
	json_decref(array);
	return true;
}

bool page_offset_number(struct admin_request *r, uint64_t *out)
{
	json_t *array;

	if (!read_offset(r, is_number, 1, &array))
		return false;
	*out = array ? (uint64_t)json_integer_value(json_array_get(array, 0)) : 0;
	json_decref(array);
	return true;
}

json_t *page_make(json_t *data)
{
	return json_pack("{s:o, s:n}", "data", data, "next");
}

/* What the path of the next page keeps of the query: the filters of every list, then the size. */
static const char *const along[] = {"tags",  "actor", "kind",	      "entity",		"method",
				    "since", "until", "invalid_only", "state",		"issuer",
				    "tag",   "host",  "size",	      "expiring_before"};

static int add_query(struct admin_request *r, struct buf *path, const char *name)
{
	struct str value = admin_query(r, name);
	int rc;

	if (!value.ptr)
		return 0;
	rc = buf_addf(path, NULL, "&%s=", name);
	for (size_t i = 0; i < value.len && rc == 0; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~,/", c))
			rc = buf_addf(path, NULL, "%c", c);
		else
			rc = buf_addf(path, NULL, "%%%02X", c);
	}
	return rc;
}

/* As the client typed it, without the slash that may end it. */
static struct str own_path(struct admin_request *r)
{
	struct str path = exchange_request(r->x)->path;

	return path.len > 1 && path.ptr[path.len - 1] == '/' ? str_sub(path, 0, path.len - 1)
							     : path;
}

void page_add_next(struct admin_request *r, json_t *page, json_t *key, bool with_query)
{
	struct str path = own_path(r);
	char *raw = json_dumps(key, JSON_COMPACT);
	struct buf text = BUF_INIT, next = BUF_INIT;
	int rc = raw ? base64url_encode(&text, str_from(raw), NULL) : -1;

	if (rc == 0)
		rc = buf_addf(&next, NULL, "%.*s?offset=%s", (int)path.len, path.ptr, text.data);
	for (size_t i = 0; rc == 0 && with_query && i < array_len(along); i++)
		rc = add_query(r, &next, along[i]);
	if (rc == 0) {
		json_object_set_new(page, "next", json_string(next.data));
		json_object_set_new(page, "offset", json_string(text.data));
	}
	json_decref(key);
	free(raw);
	buf_deinit(&text);
	buf_deinit(&next);
}

void page_reply(struct admin_request *r, const struct store_result *res, const char *key,
		json_t *(*show)(const json_t *row))
{
	json_t *data = json_array(), *page = page_make(data), *row;
	size_t i;

	json_array_foreach(res->rows, i, row)
	{
		if (i == r->page_size) {
			row = json_array_get(res->rows, i - 1);
			page_add_next(r, page, json_pack("[O]", json_object_get(row, key)), true);
			break;
		}
		(void)json_array_append_new(data, show ? show(row) : json_incref(row));
	}
	admin_reply(r, 200, page);
}
