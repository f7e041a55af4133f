#include "common/http/grpc.h"

void grpc_prefix(unsigned char out[GRPC_PREFIX_SIZE], size_t n)
{
	out[0] = 0; /* not compressed */
	out[1] = (unsigned char)(n >> 24);
	out[2] = (unsigned char)(n >> 16);
	out[3] = (unsigned char)(n >> 8);
	out[4] = (unsigned char)n;
}

int grpc_frame(struct buf *out, struct str message, struct err *e)
{
	unsigned char prefix[GRPC_PREFIX_SIZE];

	if (message.len > UINT32_MAX)
		return err_set(e, ERR_LIMIT, "gRPC message of %zu bytes has no prefix",
			       message.len);
	if (buf_reserve(out, sizeof(prefix) + message.len, e) < 0)
		return -1;
	grpc_prefix(prefix, message.len);
	if (buf_add(out, prefix, sizeof(prefix), e) < 0)
		return -1;
	return buf_add_str(out, message, e);
}

void grpc_reader_init(struct grpc_reader *r, size_t max)
{
	r->max = max ? max : (size_t)GRPC_MESSAGE_MAX;
	buf_init(&r->pending, r->max + GRPC_PREFIX_SIZE);
	r->pending.secret = true; /* private keys travel in messages */
}

void grpc_reader_deinit(struct grpc_reader *r)
{
	buf_deinit(&r->pending);
}

/* Bytes of prefix and message in front of `bytes`, which hold a whole prefix. */
static int frame_size(const struct grpc_reader *r, struct str bytes, size_t *size, struct err *e)
{
	const unsigned char *p = (const unsigned char *)bytes.ptr;
	size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];

	if (p[0] != 0)
		return err_set(e, ERR_INVALID,
			       p[0] == 1 ? "compressed gRPC message"
					 : "unknown flag of a gRPC message");
	if (n > r->max)
		return err_set(e, ERR_LIMIT, "gRPC message of %zu bytes, the limit is %zu", n,
			       r->max);
	*size = n + GRPC_PREFIX_SIZE;
	return 0;
}

/* Moves bytes from *in to pending until it holds `want`; false when *in ran out first. */
static int fill(struct grpc_reader *r, struct str *in, size_t want, bool *full, struct err *e)
{
	size_t n = want > r->pending.len ? want - r->pending.len : 0;

	if (n > in->len)
		n = in->len;
	if (n > 0 && buf_add(&r->pending, in->ptr, n, e) < 0)
		return -1;
	*in = str_sub(*in, n, in->len);
	*full = r->pending.len >= want;
	return 0;
}

/* The message that began in an earlier feed. *full: it was given to on_message. */
static int finish_pending(struct grpc_reader *r, struct str *in, bool *full,
			  int (*on_message)(struct str message, void *arg, struct err *e),
			  void *arg, struct err *e)
{
	size_t size;
	int result;

	if (fill(r, in, GRPC_PREFIX_SIZE, full, e) < 0)
		return -1;
	if (!*full)
		return 0;
	if (frame_size(r, buf_str(&r->pending), &size, e) < 0 || fill(r, in, size, full, e) < 0)
		return -1;
	if (!*full)
		return 0;
	result = on_message(str_sub(buf_str(&r->pending), GRPC_PREFIX_SIZE, size), arg, e);
	buf_deinit(&r->pending);
	return result;
}

int grpc_feed(struct grpc_reader *r, struct str bytes,
	      int (*on_message)(struct str message, void *arg, struct err *e), void *arg,
	      struct err *e)
{
	bool full = true;
	size_t size;

	if (r->pending.len > 0 && finish_pending(r, &bytes, &full, on_message, arg, e) < 0)
		return -1;
	if (!full)
		return 0;
	while (bytes.len >= GRPC_PREFIX_SIZE) {
		if (frame_size(r, bytes, &size, e) < 0)
			return -1;
		if (bytes.len < size)
			break;
		if (on_message(str_sub(bytes, GRPC_PREFIX_SIZE, size), arg, e) < 0)
			return -1;
		bytes = str_sub(bytes, size, bytes.len);
	}
	return bytes.len > 0 ? buf_add_str(&r->pending, bytes, e) : 0;
}
