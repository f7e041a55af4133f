/* JSON values as libyaml's events. */
#include "control-plane/model/yaml_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "control-plane/model/yaml_read.h"

struct yaml_writer {
	yaml_emitter_t emitter;
	struct buf *text;
	struct err why; /* of appending to text */
	bool failed;
};

static int on_output(void *arg, unsigned char *bytes, size_t n)
{
	struct yaml_writer *w = arg;

	return buf_add(w->text, bytes, n, &w->why) == 0;
}

/* Takes the event, made or not. */
static int emit(struct yaml_writer *w, int made, yaml_event_t *event, struct err *e)
{
	if (w->failed && made)
		yaml_event_delete(event);
	if (w->failed)
		return err_set(e, ERR_INTERNAL, "writing YAML after a failure");
	if (made && yaml_emitter_emit(&w->emitter, event))
		return 0;
	w->failed = true;
	if (w->why.kind != ERR_NONE && e)
		*e = w->why;
	if (w->why.kind != ERR_NONE)
		return -1;
	if (!made || w->emitter.error == YAML_MEMORY_ERROR)
		return err_memory(e, "writing YAML");
	return err_set(e, ERR_INTERNAL, "writing YAML: %s", w->emitter.problem);
}

static int emit_scalar(struct yaml_writer *w, struct str text, yaml_scalar_style_t style,
		       struct err *e)
{
	yaml_event_t event;
	int made;

	if (text.len > INT32_MAX)
		return err_set(e, ERR_LIMIT, "a text is too long for YAML");
	made = yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text.ptr,
					    (int)text.len, 1, 1, style);
	return emit(w, made, &event, e);
}

/* --- texts --- */

/* Whether a text has line ends other than LF, or control characters: readers would change them
 * anywhere but in double quotes. */
static bool has_special(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if ((c < 0x20 && c != '\n') || c == 0x7f)
			return true;
		/* U+0080 to U+009F, U+2028 and U+2029, U+FEFF. */
		if (c == 0xc2 && i + 1 < s.len && (unsigned char)s.ptr[i + 1] < 0xa0)
			return true;
		if (c == 0xe2 && i + 2 < s.len && (unsigned char)s.ptr[i + 1] == 0x80 &&
		    ((unsigned char)s.ptr[i + 2] & 0xfe) == 0xa8)
			return true;
		if (c == 0xef && i + 1 < s.len && (unsigned char)s.ptr[i + 1] == 0xbb)
			return true;
	}
	return false;
}

/* Whether a reader would take the plain text for something else. */
static bool is_ambiguous(struct str s)
{
	json_t *read = yaml_plain(s);
	bool ambiguous = !json_is_string(read) || str_eq(s, STR("<<"));

	json_decref(read);
	/* Other readers know more of them: y, n, .inf, 1:30, dates. */
	return ambiguous || (s.len == 1 && strchr("yYnN=", s.ptr[0])) ||
	       (s.ptr[0] >= '0' && s.ptr[0] <= '9') || s.ptr[0] == '.' || s.ptr[0] == '+';
}

static int write_text(struct yaml_writer *w, struct str s, struct err *e)
{
	yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;

	if (has_special(s))
		style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	else if (memchr(s.ptr, '\n', s.len))
		style = s.ptr[0] == '\n' || s.ptr[0] == ' ' ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
							    : YAML_LITERAL_SCALAR_STYLE;
	else if (is_ambiguous(s))
		style = YAML_SINGLE_QUOTED_SCALAR_STYLE;
	return emit_scalar(w, s, style, e);
}

/* --- values --- */

static int write_number(struct yaml_writer *w, const json_t *value, struct err *e)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(16));
	int rc;

	if (!text)
		return err_memory(e, "writing YAML");
	rc = emit_scalar(w, str_from(text), YAML_PLAIN_SCALAR_STYLE, e);
	free(text);
	return rc;
}

static int write_list(struct yaml_writer *w, const json_t *value, struct err *e)
{
	int rc = yaml_write_list_begin(w, e);

	for (size_t i = 0; i < json_array_size(value) && rc == 0; i++)
		rc = yaml_write_value(w, json_array_get(value, i), e);
	return rc < 0 ? -1 : yaml_write_list_end(w, e);
}

static int write_map(struct yaml_writer *w, const json_t *value, struct err *e)
{
	json_t *object = (json_t *)(uintptr_t)value;
	int rc = yaml_write_map_begin(w, e);

	for (void *it = json_object_iter(object); it && rc == 0;
	     it = json_object_iter_next(object, it)) {
		rc = yaml_write_key(w, json_object_iter_key(it), e);
		if (rc == 0)
			rc = yaml_write_value(w, json_object_iter_value(it), e);
	}
	return rc < 0 ? -1 : yaml_write_map_end(w, e);
}

int yaml_write_value(struct yaml_writer *w, const json_t *value, struct err *e)
{
	if (json_is_string(value))
		return write_text(
			w, (struct str){json_string_value(value), json_string_length(value)}, e);
	if (json_is_object(value))
		return write_map(w, value, e);
	if (json_is_array(value))
		return write_list(w, value, e);
	if (json_is_number(value))
		return write_number(w, value, e);
	if (json_is_boolean(value))
		return emit_scalar(w, json_is_true(value) ? STR("true") : STR("false"),
				   YAML_PLAIN_SCALAR_STYLE, e);
	return emit_scalar(w, STR("~"), YAML_PLAIN_SCALAR_STYLE, e);
}

int yaml_write_key(struct yaml_writer *w, const char *key, struct err *e)
{
	return write_text(w, str_from(key), e);
}

int yaml_write_map_begin(struct yaml_writer *w, struct err *e)
{
	yaml_event_t event;
	int made = yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
						       YAML_BLOCK_MAPPING_STYLE);

	return emit(w, made, &event, e);
}

int yaml_write_map_end(struct yaml_writer *w, struct err *e)
{
	yaml_event_t event;
	int made = yaml_mapping_end_event_initialize(&event);

	return emit(w, made, &event, e);
}

int yaml_write_list_begin(struct yaml_writer *w, struct err *e)
{
	yaml_event_t event;
	int made = yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
							YAML_BLOCK_SEQUENCE_STYLE);

	return emit(w, made, &event, e);
}

int yaml_write_list_end(struct yaml_writer *w, struct err *e)
{
	yaml_event_t event;
	int made = yaml_sequence_end_event_initialize(&event);

	return emit(w, made, &event, e);
}

/* --- the document --- */

static int begin(struct yaml_writer *w, struct err *e)
{
	yaml_event_t event;
	int made = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);

	if (emit(w, made, &event, e) < 0)
		return -1;
	made = yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
	return emit(w, made, &event, e);
}

int yaml_write_begin(struct yaml_writer **out, struct buf *text, struct err *e)
{
	struct yaml_writer *w = calloc(1, sizeof(*w));

	*out = NULL;
	if (!w || !yaml_emitter_initialize(&w->emitter)) {
		free(w);
		return err_memory(e, "writing YAML");
	}
	w->text = text;
	yaml_emitter_set_output(&w->emitter, on_output, w);
	yaml_emitter_set_unicode(&w->emitter, 1);
	yaml_emitter_set_width(&w->emitter, -1);
	*out = w;
	if (begin(w, e) == 0)
		return 0;
	(void)!yaml_write_end(w, NULL);
	*out = NULL;
	return -1;
}

int yaml_write_end(struct yaml_writer *w, struct err *e)
{
	yaml_event_t event;
	int rc = -1;

	if (!w)
		return 0;
	if (!w->failed) {
		rc = emit(w, yaml_document_end_event_initialize(&event, 1), &event, e);
		if (rc == 0)
			rc = emit(w, yaml_stream_end_event_initialize(&event), &event, e);
	}
	yaml_emitter_delete(&w->emitter);
	free(w);
	return rc;
}
