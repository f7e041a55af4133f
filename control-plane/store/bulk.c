#include "control-plane/store/bulk.h"

#include <stdlib.h>

#include "control-plane/store/bulk_internal.h"
#include "control-plane/store/store_internal.h"

enum { COLUMN_MAX = 256 << 20 };

int bulk_array_begin(struct buf *out, struct err *e)
{
	return buf_add_str(out, STR("{"), e);
}

/* Everything between quotes stands for itself but quotes and backslashes. */
static int add_quoted(struct buf *out, struct str s, struct err *e)
{
	const char *from;
	char *to;

	/* Every byte escaped, quotes, comma. */
	if (buf_reserve(out, 2 * s.len + 3, e) < 0)
		return -1;
	to = out->data + out->len;
	*to++ = '"';
	for (from = s.ptr; from < s.ptr + s.len; from++) {
		if (*from == '"' || *from == '\\')
			*to++ = '\\';
		*to++ = *from;
	}
	*to++ = '"';
	*to = '\0';
	out->len = (size_t)(to - out->data);
	return 0;
}

int bulk_array_add(struct buf *out, struct str element, struct err *e)
{
	if (out->len > 1 && buf_add_str(out, STR(","), e) < 0)
		return -1;
	if (!element.ptr)
		return buf_add_str(out, STR("NULL"), e);
	return add_quoted(out, element, e);
}

int bulk_array_end(struct buf *out, struct err *e)
{
	return buf_add_str(out, STR("}"), e);
}

int bulk_create(struct bulk **out, const struct store *s, const struct entity *t, struct err *e)
{
	const struct sql *q = store_sql(s, t);
	struct bulk *b = calloc(1, sizeof(*b));

	if (!b)
		return err_memory(e, "many rows");
	b->sql = q;
	b->keyring = s->keyring;
	for (size_t i = 0; i < q->write_count; i++) {
		buf_init(&b->columns[i], COLUMN_MAX);
		if (bulk_array_begin(&b->columns[i], e) < 0) {
			bulk_free(b);
			return -1;
		}
	}
	*out = b;
	return 0;
}

int bulk_add(struct bulk *b, const json_t *row, struct err *e)
{
	const char *values[SQL_FIELDS_MAX];
	struct arena a;
	int rc;

	arena_init(&a, 0);
	rc = rows_encode(b->sql, b->keyring, row, &a, values, e);
	for (size_t i = 0; rc == 0 && i < b->sql->write_count; i++)
		rc = bulk_array_add(&b->columns[i], str_from(values[i]), e);
	arena_deinit(&a);
	if (rc == 0)
		b->rows++;
	return rc;
}

int bulk_finish(struct bulk *b, struct err *e)
{
	for (size_t i = 0; !b->finished && i < b->sql->write_count; i++)
		if (bulk_array_end(&b->columns[i], e) < 0)
			return -1;
	b->finished = true;
	return 0;
}

size_t bulk_rows(const struct bulk *b)
{
	return b->rows;
}

size_t bulk_bytes(const struct bulk *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->sql->write_count; i++)
		n += b->columns[i].len;
	return n;
}

void bulk_free(struct bulk *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->sql->write_count; i++)
		buf_deinit(&b->columns[i]);
	free(b);
}
