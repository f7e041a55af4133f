/* Any bytes as a path: its normal form has no dot segment and no empty one but the last, is its own
 * normal form but for '%' that came decoded, and what is sent for it has the same normal form. */
#include <stdlib.h>

#include "common/http/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_segments(struct str path)
{
	struct str rest = str_sub(path, 1, path.len), segment;

	if (path.ptr[0] != '/')
		abort();
	while (str_split(&rest, '/', &segment))
		if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")) ||
		    (segment.len == 0 && rest.ptr))
			abort();
}

/* Whether every '%' begins an escape: what the parser of requests lets in. */
static bool is_escaped(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] != '%')
			continue;
		if (s.len - i < 3 || !strchr("0123456789abcdefABCDEF", s.ptr[i + 1]) ||
		    !strchr("0123456789abcdefABCDEF", s.ptr[i + 2]) || !s.ptr[i + 1] ||
		    !s.ptr[i + 2])
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf b = BUF_INIT;
	struct str in, normal, again;
	char *text, *out;

	if (size == 0 || size > 4096)
		return 0;
	text = malloc(size);
	out = malloc(size);
	if (!text || !out)
		abort();
	memcpy(text, data, size);
	text[0] = '/';
	in = (struct str){text, size};
	normal = (struct str){out, http_path_normalise(out, in)};
	if (normal.len > in.len)
		abort();
	check_segments(normal);
	if (http_path_is_normal(in) && !str_eq(in, normal))
		abort();
	if (buf_add_str(&b, normal, NULL) < 0 || http_path_escape(&b, 0, NULL) < 0)
		abort();
	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] <= ' ' || b.data[i] >= 0x7f || strchr("\"<>\\^`{|}", b.data[i]))
			abort();
	if (is_escaped(in)) {
		free(text);
		text = malloc(b.len + 1);
		if (!text)
			abort();
		again = (struct str){text, http_path_normalise(text, buf_str(&b))};
		if (!str_eq(again, normal))
			abort();
	}
	buf_deinit(&b);
	free(text);
	free(out);
	return 0;
}
