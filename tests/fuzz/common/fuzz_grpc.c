/* Any bytes as gRPC messages: the same messages and the same answer wherever they are cut, and the
 * bytes that were used are the messages framed again. */
#include <stdlib.h>

#include "common/http/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 4096 };

static int frame_again(struct str message, void *arg, struct err *e)
{
	if (message.len > MESSAGE_MAX)
		abort();
	return grpc_frame(arg, message, e);
}

/* Returns the kind of the error. */
static enum err_kind feed(struct str in, size_t piece, struct buf *out)
{
	struct grpc_reader r;
	struct err e = ERR_INIT;
	int result = 0;

	grpc_reader_init(&r, MESSAGE_MAX);
	for (size_t at = 0; at < in.len && result == 0; at += piece)
		result = grpc_feed(&r, str_sub(in, at, at + piece), frame_again, out, &e);
	if (r.pending.len > MESSAGE_MAX + GRPC_PREFIX_SIZE || (result < 0) != (e.kind != ERR_NONE))
		abort();
	grpc_reader_deinit(&r);
	return e.kind;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = {1, 3, 64};
	struct str in = {(const char *)data, size};
	struct buf whole = BUF_INIT;
	enum err_kind kind = feed(in, size + 1, &whole);

	if (!str_starts(in, buf_str(&whole)))
		abort();
	for (size_t i = 0; i < array_len(pieces); i++) {
		struct buf cut = BUF_INIT;

		if (feed(in, pieces[i], &cut) != kind || !str_eq(buf_str(&cut), buf_str(&whole)))
			abort();
		buf_deinit(&cut);
	}
	buf_deinit(&whole);
	return 0;
}
