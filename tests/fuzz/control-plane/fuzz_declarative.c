/* Declarative documents: parsed as JSON or YAML, made into rows, and what is wrong shown in each
 * form. What is accepted is written as a document, which is accepted again and says the same. First
 * byte: the kind of text, and whether references may be open. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "control-plane/model/declarative.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const files[] = {NULL, "a.json", "a.yml"};

static void expect(bool right)
{
	if (!right)
		abort();
}

static void show_faults(const struct declarative *d)
{
	struct buf lines = {.limit = 256 << 20};
	json_t *plain = declarative_fault(d, false);
	json_t *flat = declarative_fault(d, true);

	expect(json_object_get(plain, "message") && json_object_get(flat, "flattened_errors"));
	expect(declarative_print(d, &lines, NULL) == 0 && lines.len > 0);
	json_decref(plain);
	json_decref(flat);
	buf_deinit(&lines);
}

static void write_all(const struct declarative *d, struct buf *out)
{
	struct declarative_writer *w;

	expect(declarative_write_begin(&w, out, NULL) == 0);
	for (size_t i = 0; i < d->count; i++)
		expect(declarative_write(w, d->items[i].entity, d->items[i].row, NULL) == 0);
	expect(declarative_write_end(w, NULL) == 0);
}

/* There and back. */
static void write_again(const struct declarative *d, const struct declarative_options *o)
{
	struct buf text = {.limit = 256 << 20};
	struct declarative again;
	json_t *document;

	write_all(d, &text);
	expect(declarative_parse(&document, buf_str(&text), "a.yml", NULL) == 0);
	expect(declarative_read(&again, document, o, NULL) == 0);
	expect(!declarative_refused(&again) && again.count == d->count);
	json_decref(document);
	declarative_deinit(&again);
	buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct declarative_options o = {.now_ms = 1000};
	struct str text = {(const char *)data + 1, size - 1};
	struct err e = ERR_INIT;
	struct declarative d;
	json_t *document;

	if (size < 1)
		return 0;
	o.open = data[0] & 0x80;
	if (declarative_parse(&document, text, files[data[0] % array_len(files)], &e) < 0) {
		json_t *fault = declarative_parse_fault(&e);

		expect(json_object_get(fault, "message"));
		json_decref(fault);
		return 0;
	}
	expect(declarative_read(&d, document, &o, NULL) == 0);
	if (declarative_refused(&d))
		show_faults(&d);
	else
		write_again(&d, &o);
	declarative_deinit(&d);
	json_decref(document);
	return 0;
}
