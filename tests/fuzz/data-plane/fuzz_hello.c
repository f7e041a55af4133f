/* Any bytes as the beginning of a TLS connection: the verdict is the same in one piece and byte by
 * byte, more bytes never change it, and a name has only bytes of names. */
#include <stdlib.h>
#include <string.h>

#include "data-plane/tls/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const struct hello *h)
{
	if (h->sni_len > HELLO_NAME_MAX)
		abort();
	for (size_t i = 0; i < h->sni_len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-._", h->sni[i]) || !h->sni[i])
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str in = {(const char *)data, size};
	struct hello whole = {0}, pieces = {0};
	enum hello_result want, got = HELLO_MORE;
	struct hello_reader r;

	hello_reader_init(&r);
	want = hello_read(&r, in, &whole, NULL);
	hello_reader_deinit(&r);
	hello_reader_init(&r);
	for (size_t n = 1; n <= size && got == HELLO_MORE; n++)
		got = hello_read(&r, str_sub(in, 0, n), &pieces, NULL);
	hello_reader_deinit(&r);
	if (got != want)
		abort();
	if (want != HELLO_DONE)
		return 0;
	check_name(&whole);
	if (whole.sni_len != pieces.sni_len || memcmp(whole.sni, pieces.sni, whole.sni_len) != 0)
		abort();
	return 0;
}
