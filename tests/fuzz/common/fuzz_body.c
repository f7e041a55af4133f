/* Any bytes as a request body: forms, multipart (the boundary is the first line without its "--"),
 * JSON. What is accepted is a bounded tree of text. */
#include <stdlib.h>

#include "common/http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(json_t *j, unsigned depth, bool form)
{
	if (depth > BODY_DEPTH_MAX || (form && json_is_null(j)))
		abort();
	for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at))
		check(json_object_iter_value(at), depth + 1, form);
	for (size_t i = 0; i < json_array_size(j); i++)
		check(json_array_get(j, i), depth + 1, form);
	if (json_is_string(j) && strlen(json_string_value(j)) != json_string_length(j))
		abort();
}

static void finish(json_t *j, int result, const struct err *e, bool form)
{
	if ((result == 0) != json_is_object(j) || (result < 0 && !e->message[0]))
		abort();
	check(j, 0, form);
	json_decref(j);
}

static void try_multipart(struct str bytes)
{
	struct buf type = BUF_INIT;
	struct err e = ERR_INIT;
	json_t *j = NULL;
	size_t end = str_find(bytes, '\r', 0);
	int result;

	if (!str_starts(bytes, STR("--")) ||
	    buf_add_str(&type, STR("multipart/form-data; boundary="), NULL) < 0 ||
	    buf_add_str(&type, str_sub(bytes, 2, end), NULL) < 0)
		goto out;
	result = body_multipart(&j, bytes, buf_str(&type), &e);
	finish(j, result, &e, true);
out:
	buf_deinit(&type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = {(const char *)data, size};
	struct err e = ERR_INIT;
	json_t *j = NULL;
	int result = body_form(&j, bytes, &e);

	finish(j, result, &e, true);
	j = NULL;
	err_clear(&e);
	result = body_json(&j, bytes, &e);
	finish(j, result, &e, false);
	try_multipart(bytes);
	return 0;
}
