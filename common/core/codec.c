#include "common/core/codec.h"

#include <openssl/rand.h>
#include <stdint.h>
#include <string.h>

static const char alphabet_std[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_digits[] = "0123456789abcdef";

static int encode64(struct buf *out, struct str in, const char *alphabet, bool pad, struct err *e)
{
	const unsigned char *p = (const unsigned char *)in.ptr;
	char *w;

	if (in.len > SIZE_MAX / 2 || buf_reserve(out, (in.len + 2) / 3 * 4, e) < 0)
		return err_prefix(e, "encoding base64");
	w = out->data + out->len;
	for (size_t i = 0; i < in.len; i += 3) {
		size_t n = in.len - i < 3 ? in.len - i : 3;
		uint32_t v = (uint32_t)p[i] << 16;

		v |= n > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		v |= n > 2 ? (uint32_t)p[i + 2] : 0;
		for (size_t k = 0; k < n + 1; k++)
			*w++ = alphabet[(v >> (18 - 6 * k)) & 63];
		for (size_t k = n; pad && k < 3; k++)
			*w++ = '=';
	}
	*w = '\0';
	out->len = (size_t)(w - out->data);
	return 0;
}

int base64_encode(struct buf *out, struct str in, struct err *e)
{
	return encode64(out, in, alphabet_std, true, e);
}

int base64url_encode(struct buf *out, struct str in, struct err *e)
{
	return encode64(out, in, alphabet_url, false, e);
}

static int digit64(char c, const char *alphabet)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == alphabet[62])
		return 62;
	return c == alphabet[63] ? 63 : -1;
}

/* What was appended of a text that turned out wrong is taken back. */
static void take_back(struct buf *out, size_t len)
{
	out->len = len;
	out->data[len] = '\0';
}

/* in has no padding. */
static int decode64(struct buf *out, struct str in, const char *alphabet, struct err *e)
{
	size_t before = out->len;
	uint32_t bits = 0;
	unsigned have = 0;

	if (in.len % 4 == 1)
		return err_set(e, ERR_INVALID, "base64 text has an impossible length");
	if (buf_reserve(out, in.len / 4 * 3 + 2, e) < 0)
		return err_prefix(e, "decoding base64");
	for (size_t i = 0; i < in.len; i++) {
		int d = digit64(in.ptr[i], alphabet);

		if (d < 0) {
			take_back(out, before);
			return err_set(e, ERR_INVALID, "not a base64 character at offset %zu", i);
		}
		bits = bits << 6 | (uint32_t)d;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out->data[out->len++] = (char)(bits >> have & 0xff);
		}
	}
	out->data[out->len] = '\0';
	if (bits & ((1U << have) - 1)) {
		take_back(out, before);
		return err_set(e, ERR_INVALID, "base64 text ends with stray bits");
	}
	return 0;
}

int base64_decode(struct buf *out, struct str in, struct err *e)
{
	size_t pad = 0;

	if (in.len % 4 != 0)
		return err_set(e, ERR_INVALID, "base64 text is not padded");
	while (pad < 2 && pad < in.len && in.ptr[in.len - 1 - pad] == '=')
		pad++;
	in.len -= pad;
	return decode64(out, in, alphabet_std, e);
}

int base64url_decode(struct buf *out, struct str in, struct err *e)
{
	return decode64(out, in, alphabet_url, e);
}

int hex_encode(struct buf *out, struct str in, struct err *e)
{
	if (in.len > SIZE_MAX / 2 || buf_reserve(out, in.len * 2, e) < 0)
		return err_prefix(e, "encoding hexadecimal");
	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.ptr[i];

		out->data[out->len++] = hex_digits[c >> 4];
		out->data[out->len++] = hex_digits[c & 15];
	}
	out->data[out->len] = '\0';
	return 0;
}

static int digit16(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(struct buf *out, struct str in, struct err *e)
{
	size_t before = out->len;

	if (in.len % 2 != 0)
		return err_set(e, ERR_INVALID, "hexadecimal text has an odd length");
	if (buf_reserve(out, in.len / 2, e) < 0)
		return err_prefix(e, "decoding hexadecimal");
	for (size_t i = 0; i < in.len; i += 2) {
		int high = digit16(in.ptr[i]);
		int low = digit16(in.ptr[i + 1]);

		if (high < 0 || low < 0) {
			take_back(out, before);
			return err_set(e, ERR_INVALID, "not a hexadecimal digit at offset %zu", i);
		}
		out->data[out->len++] = (char)(high << 4 | low);
	}
	out->data[out->len] = '\0';
	return 0;
}

static bool is_dash_place(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

bool uuid_is(struct str s)
{
	if (s.len != UUID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (is_dash_place(i) ? s.ptr[i] != '-' : digit16(s.ptr[i]) < 0)
			return false;
	return true;
}

void uuid_bytes(struct str s, unsigned char out[16])
{
	size_t n = 0;

	assert(uuid_is(s));
	for (size_t i = 0; i < s.len; i += 2) {
		if (is_dash_place(i))
			i++;
		out[n++] = (unsigned char)((unsigned)digit16(s.ptr[i]) << 4 |
					   (unsigned)digit16(s.ptr[i + 1]));
	}
}

void uuid_text(const unsigned char in[16], char out[UUID_TEXT_SIZE])
{
	size_t n = 0;

	for (size_t i = 0; i < 16; i++) {
		if (is_dash_place(n))
			out[n++] = '-';
		out[n++] = hex_digits[in[i] >> 4];
		out[n++] = hex_digits[in[i] & 15];
	}
	out[n] = '\0';
}

int uuid_make(char out[UUID_TEXT_SIZE], struct err *e)
{
	unsigned char bytes[16];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return err_openssl(e, ERR_INTERNAL, "no random bytes");
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	uuid_text(bytes, out);
	return 0;
}
