/* Bodies of an import: split into lines in pieces of the size that the first byte says, each line
 * decoded and checked as the chunks of an import are. Lines must be the same in pieces of any size.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "control-plane/bulk/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINE_BYTES = 4096 };

struct tally {
	uint64_t lines, bytes, too_long;
};

static void check(struct chunk **c)
{
	chunk_check(*c, 1000);
	for (size_t i = 0; i < (*c)->count; i++)
		if (!(*c)->rows[i].row == !(*c)->rows[i].refusal)
			abort();
	chunk_free(*c);
	*c = chunk_create(LINE_BYTES);
}

static struct tally split(struct str text, size_t piece, bool checked)
{
	struct chunk *c = chunk_create(LINE_BYTES);
	struct tally t = {0, 0, 0};
	struct ndjson_line line;
	struct ndjson s;
	bool last = false;

	ndjson_init(&s, LINE_BYTES);
	while (!last) {
		struct str bytes = str_sub(text, 0, piece);

		last = piece >= text.len;
		text = str_sub(text, bytes.len, text.len);
		while (ndjson_next(&s, &bytes, last, &line, NULL) > 0) {
			t.lines += line.number;
			t.bytes += line.text.len;
			t.too_long += line.too_long;
			if (!checked || chunk_add(c, &line, NULL) < 0)
				continue;
			if (chunk_full(c))
				check(&c);
		}
	}
	check(&c);
	chunk_free(c);
	ndjson_deinit(&s);
	return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text;
	struct tally whole, pieces;

	if (size < 1)
		return 0;
	text = (struct str){(const char *)data + 1, size - 1};
	whole = split(text, text.len + 1, true);
	pieces = split(text, (size_t)data[0] + 1, false);
	if (whole.lines != pieces.lines || whole.bytes != pieces.bytes ||
	    whole.too_long != pieces.too_long)
		abort();
	return 0;
}
