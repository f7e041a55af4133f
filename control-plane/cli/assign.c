#include "control-plane/cli/assign.h"

#include "common/http/body.h"
#include "common/http/syntax.h"
#include "control-plane/cli/files.h"

enum { WORD_SHOWN = 64 };

/* name[:]=[@]rest */
struct assignment {
	struct str name;
	bool json, file;
	const char *rest;
};

static int bad_word(struct err *e, const char *word, const char *why)
{
	return err_set(e, ERR_INVALID, "%.*s: %s", WORD_SHOWN, word, why);
}

static int split(struct assignment *a, const char *word, struct err *e)
{
	struct str whole = str_from(word);
	size_t equals = str_find(whole, '=', 0);

	if (equals == whole.len)
		return bad_word(e, word, "expected field=value, field=@FILE or field:=JSON");
	a->json = equals > 0 && word[equals - 1] == ':';
	a->name = str_sub(whole, 0, a->json ? equals - 1 : equals);
	a->rest = word + equals + 1;
	a->file = a->rest[0] == '@';
	if (a->file)
		a->rest++;
	if (a->name.len == 0)
		return bad_word(e, word, "the field's name is missing");
	if (a->file && !a->rest[0])
		return bad_word(e, word, "the file's name is missing");
	return 0;
}

static int make_value(json_t **out, const struct assignment *a, struct str text, struct err *e)
{
	json_error_t why;

	if (memchr(text.ptr, '\0', text.len) || !http_is_utf8(text))
		return err_set(e, ERR_INVALID, "%.*s: not UTF-8 text", (int)a->name.len,
			       a->name.ptr);
	if (a->json)
		*out = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES,
				  &why);
	else
		*out = json_stringn(text.ptr, text.len);
	if (*out)
		return 0;
	if (!a->json)
		return err_memory(e, "an argument");
	return err_set(e, ERR_INVALID, "%.*s: not JSON: %s at byte %d", (int)a->name.len,
		       a->name.ptr, why.text, why.position);
}

static int put(json_t *root, const char *word, struct err *e)
{
	struct buf content = {.secret = true};
	struct assignment a = {.rest = NULL};
	json_t *value = NULL;
	int rc = split(&a, word, e);

	if (rc == 0 && a.file)
		rc = file_read_or_stdin(a.rest, &content, e);
	if (rc == 0)
		rc = make_value(&value, &a, a.file ? buf_str(&content) : str_from(a.rest), e);
	if (rc == 0)
		rc = body_put(root, a.name, value, e);
	buf_deinit(&content);
	return rc;
}

int assign_read(json_t **out, const struct entity *t, const json_t *old, int count, char **words,
		struct err *e)
{
	json_t *root = json_object();

	if (!root)
		return err_memory(e, "arguments");
	for (int i = 0; i < count; i++) {
		if (put(root, words[i], e) < 0) {
			json_decref(root);
			return -1;
		}
	}
	body_finish(root);
	entity_coerce_form(t, root, old);
	*out = root;
	return 0;
}
