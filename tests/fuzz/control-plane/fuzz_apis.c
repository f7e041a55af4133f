/* Bodies of /apis: decoded, their older names folded, checked, made to rows; what was made is
 * shown, sent back as it is, and changed by the same body. First byte: the type, and whether the
 * second half of the bytes is a patch of the first. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/http/body.h"
#include "control-plane/admin/apis_fold.h"
#include "control-plane/admin/older.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int decode(json_t **out, unsigned type, struct str bytes)
{
	if (type == 0)
		return body_json(out, bytes, NULL);
	if (type == 1)
		return body_form(out, bytes, NULL);
	return body_multipart(out, bytes, STR("multipart/form-data; boundary=b"), NULL);
}

/* Errors can always be shown in the form of their time. */
static void look(const struct violations *v)
{
	struct admin_request r = {.entity = NULL};
	unsigned status = 400;
	json_t *body = violations_body(v);

	if (!v->no_memory && !json_is_object(body))
		abort();
	if (body)
		body = older_errors(&r, &status, body);
	json_decref(body);
}

/* The rows that input makes of old (NULL: nothing). */
static bool make(struct apis_rows *out, const json_t *body, bool form, bool whole,
		 const struct apis_rows *old)
{
	json_t *input = json_deep_copy(body), *before = old ? apis_show(old) : NULL;
	json_t *spelled = NULL, *api = NULL;
	struct violations v;
	int rc = -1;

	violations_init(&v);
	if (form)
		entity_coerce_form(&apis_body, input, NULL);
	apis_fold(input, form, whole, before, &spelled, &v);
	if (!violations_any(&v))
		api = apis_check(input, whole, before, spelled, 1000, &v);
	if (api)
		rc = apis_make(out, api, before, old, spelled, 1000, &v);
	if (rc < 0 && !violations_any(&v))
		abort();
	if (rc < 0)
		look(&v);
	violations_deinit(&v);
	json_decref(input);
	json_decref(before);
	json_decref(spelled);
	json_decref(api);
	return rc == 0;
}

/* What is shown may be sent back and changes nothing. */
static void send_back(const struct apis_rows *rows)
{
	struct apis_rows again = {NULL, NULL, NULL};
	json_t *shown = apis_show(rows);

	if (!apis_is_api(rows->route, rows->service))
		abort();
	if (!make(&again, shown, false, false, rows) || again.service || again.plugin)
		abort();
	apis_rows_deinit(&again);
	json_decref(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct apis_rows rows = {NULL, NULL, NULL}, changed = {NULL, NULL, NULL};
	json_t *body = NULL, *patch = NULL;
	struct str bytes;
	unsigned type;

	if (size < 1)
		return 0;
	type = data[0] % 3;
	bytes = (struct str){(const char *)data + 1, size - 1};
	if (data[0] & 0x80) {
		struct str second = str_sub(bytes, bytes.len / 2, bytes.len);

		bytes = str_sub(bytes, 0, bytes.len / 2);
		if (decode(&patch, type, second) < 0)
			patch = NULL;
	}
	if (decode(&body, type, bytes) == 0 && make(&rows, body, type != 0, true, NULL)) {
		send_back(&rows);
		if (make(&changed, patch ? patch : body, type != 0, false, &rows))
			apis_rows_deinit(&changed);
	}
	apis_rows_deinit(&rows);
	json_decref(body);
	json_decref(patch);
	return 0;
}
