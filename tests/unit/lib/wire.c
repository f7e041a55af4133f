#include "tests/unit/lib/wire.h"

uint64_t wire_varint(const unsigned char *p, size_t *at)
{
	uint64_t n = 0;

	for (unsigned shift = 0;; shift += 7) {
		n |= (uint64_t)(p[*at] & 0x7f) << shift;
		if (!(p[(*at)++] & 0x80))
			return n;
	}
}

uint64_t wire_field(const unsigned char *p, size_t n, uint64_t number, const char **bytes)
{
	for (size_t at = 0; at < n;) {
		uint64_t key = wire_varint(p, &at);
		uint64_t value = wire_varint(p, &at);

		if (key >> 3 == number && bytes)
			*bytes = (const char *)p + at;
		if (key >> 3 == number)
			return value;
		at += (key & 7) == 2 ? value : 0;
	}
	return 0;
}

struct str wire_begin(char out[WIRE_SIZE], char epoch, char revision)
{
	const char m[] = {0x0a, 5, 0x0a, 1, epoch, 0x10, revision};

	memcpy(out, m, sizeof(m));
	return (struct str){out, sizeof(m)};
}

struct str wire_commit(char out[WIRE_SIZE], char epoch, char revision, char since)
{
	const char m[] = {0x1a, 7, 0x0a, 1, epoch, 0x10, revision, 0x18, since};

	memcpy(out, m, sizeof(m));
	return (struct str){out, sizeof(m)};
}

struct str wire_challenge(char out[WIRE_SIZE], const char *host)
{
	static const char rest[6] = "\x12\x01t\x1a\x01k";
	size_t n = strlen(host);
	size_t at = 20;

	memset(out, 0, WIRE_SIZE);
	out[0] = 0x12;
	out[2] = 0x0a;
	out[3] = 16;
	out[at++] = 0x22;
	out[at++] = (char)(n + 2 + sizeof(rest));
	out[at++] = 0x0a;
	out[at++] = (char)n;
	memcpy(out + at, host, n);
	at += n;
	memcpy(out + at, rest, sizeof(rest));
	at += sizeof(rest);
	out[1] = (char)(at - 2);
	return (struct str){out, at};
}

struct str wire_unknown(char out[WIRE_SIZE])
{
	memset(out, 0, WIRE_SIZE);
	out[0] = 0x12;
	out[1] = 22;
	out[2] = 0x0a;
	out[3] = 16;
	memcpy(out + 20, "\x72\x02xx", 4);
	return (struct str){out, 24};
}
