#include "control-plane/store/note.h"

#include <stdlib.h>

/* A text that came from outside as one that the database takes. */
static json_t *clean_text(const char *text)
{
	char copy[NOTE_TEXT_MAX + 1];
	size_t len = strnlen(text, NOTE_TEXT_MAX);
	json_t *value;

	for (size_t i = 0; i < len; i++)
		copy[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
	value = json_stringn(copy, len);
	for (size_t i = 0; !value && i < len; i++)
		if ((unsigned char)copy[i] > '~')
			copy[i] = '?';
	return value ? value : json_stringn(copy, len);
}

static int put(json_t *out, const char *name, const char *text)
{
	return text ? json_object_set_new(out, name, clean_text(text)) : 0;
}

static json_t *note_json(const struct store_note *n)
{
	const struct {
		const char *name, *text;
	} texts[] = {
		{"actor", n->actor},	 {"actor_kind", n->actor_kind},
		{"address", n->address}, {"method", n->method},
		{"path", n->path},	 {"kind", n->kind},
		{"entity", n->entity},
	};
	json_t *out = json_object();
	int rc = out ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < array_len(texts); i++)
		rc = put(out, texts[i].name, texts[i].text);
	if (rc == 0 && n->fields)
		rc = json_object_set_new(out, "fields", json_deep_copy(n->fields));
	if (rc == 0 && n->if_changed)
		rc = json_object_set_new(out, "if_changed", json_true());
	if (rc == 0)
		return out;
	json_decref(out);
	return NULL;
}

const char *note_encode(const struct store_note *n, struct arena *a, struct err *e)
{
	json_t *note = note_json(n);
	char *text = note ? json_dumps(note, JSON_COMPACT) : NULL;
	const char *out = text ? arena_str(a, str_from(text)).ptr : NULL;

	free(text);
	json_decref(note);
	if (!out)
		err_memory(e, "audit note");
	return out;
}
