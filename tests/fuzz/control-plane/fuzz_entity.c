/* Bodies of the admin API: decoded as JSON, form or multipart, coerced, and checked as each entity;
 * what is accepted is patched with itself and shown. First byte: the entity; second: the type. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/http/body.h"
#include "control-plane/model/entity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TYPES = 3 };

static int decode(json_t **out, unsigned type, struct str bytes)
{
	if (type == 0)
		return body_json(out, bytes, NULL);
	if (type == 1)
		return body_form(out, bytes, NULL);
	return body_multipart(out, bytes, STR("multipart/form-data; boundary=b"), NULL);
}

/* Ends a build: a result, or violations that can be shown. */
static void look(const json_t *row, struct violations *v)
{
	json_t *body = row ? NULL : violations_body(v);

	if (!row && !v->no_memory && !json_object_get(body, "message"))
		abort();
	json_decref(body);
	violations_deinit(v);
}

static void check(const struct entity *t, json_t *input, bool form)
{
	struct violations v;
	json_t *row, *merged, *shown;

	if (form)
		entity_coerce_form(t, input, NULL);
	violations_init(&v);
	row = entity_create(t, input, 1000, &v);
	look(row, &v);
	if (!row)
		return;
	violations_init(&v);
	merged = entity_merge(t, row, input, 2000, &v);
	look(merged, &v);
	shown = entity_show(t, row, true);
	json_decref(shown);
	json_decref(merged);
	json_decref(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct entity *t;
	json_t *input = NULL;
	unsigned type;

	if (size < 2)
		return 0;
	t = entity_at(data[0] % 11);
	type = data[1] % TYPES;
	if (t && decode(&input, type, (struct str){(const char *)data + 2, size - 2}) == 0)
		check(t, input, type != 0);
	json_decref(input);
	return 0;
}
