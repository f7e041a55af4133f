/* Rows PP-04 to PP-08 of the reliability goals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/net/proxy_protocol.h"

/* source NULL: the header gives no addresses. */
static const struct {
	const char *text, *source, *destination;
} v1_good[] = {
	{"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n", "192.0.2.1:12345", "198.51.100.2:443"},
	{"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0", "255.255.255.255:65535"},
	{"PROXY TCP6 2001:db8::1 2001:DB8::2 1 2\r\n", "[2001:db8::1]:1", "[2001:db8::2]:2"},
	{"PROXY TCP6 ::1 :: 1 2\r\n", "[::1]:1", "[::]:2"},
	{"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
	 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	{"PROXY UNKNOWN\r\n", NULL, NULL},
	{"PROXY UNKNOWN \r\n", NULL, NULL},
	{"PROXY UNKNOWN whatever  stands here 1 2 3\r\n", NULL, NULL},
};

static const char *const v1_bad[] = {
	"PROXY\r\n",
	"PROXY \r\n",
	"PROXY TCP4\r\n",
	"PROXY TCP4 \r\n",
	"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"Proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY unknown\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
	"PROXY UNKNOWN\n",
	"PROXY UNKNOWNX\r\n",
	" PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8  1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1  2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
	"PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 00\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999999999999999999\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 0x1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2a\r\n",
	"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
	"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
	"PROXY TCP4 ::ffff:1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 ::ffff:1.2.3.4 ::ffff:5.6.7.8 1 2\r\n",
	"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n",
	"PROXY TCP6 ::ffff:102:304 ::1 1 2\r\n",
	"PROXY TCP6 ::1.2.3.4 ::1 1 2\r\n",
	"PROXY TCP6 ::1 5.6.7.8 1 2\r\n",
	"PROXY TCP6 [::1] ::1 1 2\r\n",
	"PROXY TCP6 ::1%lo ::1 1 2\r\n",
	"PROXY TCP6 1::2::3 ::1 1 2\r\n",
	"PROXY TCP6 :::1 ::1 1 2\r\n",
	"PROXY TCP4 localhost 5.6.7.8 1 2\r\n",
	"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP41.2.3.4 5.6.7.8 1 2\r\n",
	"GET / HTTP/1.1\r\n\r\n",
	"\026\003\001",
	"\r\n\r\n\r\n",
	"\nPROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
	"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\v\r\n",
	"PROXY UNKNOWN \177\r\n",
	"PROXY UNKNOWN \303\244\r\n",
};

/* Bytes as hexadecimal digits. */
static const struct {
	const char *name, *hex, *source, *destination;
} v2_good[] = {
	{"v4", "0d0a0d0a000d0a515549540a2111000cc0000201c6336402303901bb", "192.0.2.1:12345",
	 "198.51.100.2:443"},
	{"v6",
	 "0d0a0d0a000d0a515549540a2121002420010db800000000000000000000000120010db800000000000000000"
	 "0000002303901bb",
	 "[2001:db8::1]:12345", "[2001:db8::2]:443"},
	{"v4 in v6 form",
	 "0d0a0d0a000d0a515549540a2121002400000000000000000000ffffc000020100000000000000000000ffffc"
	 "6336402303901bb",
	 "192.0.2.1:12345", "198.51.100.2:443"},
	{"LOCAL", "0d0a0d0a000d0a515549540a20000000", NULL, NULL},
	{"LOCAL with addresses", "0d0a0d0a000d0a515549540a2011000cc0000201c6336402303901bb", NULL,
	 NULL},
	{"LOCAL, anything behind it",
	 "0d0a0d0a000d0a515549540a20310032fffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
	 "fffffffffffffffffffffffffffffffffffffffffff",
	 NULL, NULL},
	{"no family", "0d0a0d0a000d0a515549540a21000000", NULL, NULL},
	{"no family, TLVs", "0d0a0d0a000d0a515549540a21000006040003616263", NULL, NULL},
	{"checksum", "0d0a0d0a000d0a515549540a21110013c0000201c6336402303901bb030004c8ccd4b7",
	 "192.0.2.1:12345", "198.51.100.2:443"},
	{"checksum behind others",
	 "0d0a0d0a000d0a515549540a2111002fc0000201c6336402303901bb2000140100000000210007544c5376312"
	 "e33220002636e01000268320300049424a5ba",
	 "192.0.2.1:12345", "198.51.100.2:443"},
};

static const struct {
	const char *name, *hex;
} v2_bad[] = {
	{"version 1 of v2", "0d0a0d0a000d0a515549540a1111000cc0000201c6336402303901bb"},
	{"version 3", "0d0a0d0a000d0a515549540a3111000cc0000201c6336402303901bb"},
	{"version 0", "0d0a0d0a000d0a515549540a0111000cc0000201c6336402303901bb"},
	{"command 2", "0d0a0d0a000d0a515549540a2211000cc0000201c6336402303901bb"},
	{"command 15", "0d0a0d0a000d0a515549540a2f11000cc0000201c6336402303901bb"},
	{"UDP over IPv4", "0d0a0d0a000d0a515549540a2112000cc0000201c6336402303901bb"},
	{"UDP over IPv6", "0d0a0d0a000d0a515549540a2122002420010db800000000000000000000000120010db8"
			  "000000000000000000000002303901bb"},
	{"unspecified transport", "0d0a0d0a000d0a515549540a2110000cc0000201c6336402303901bb"},
	{"unspecified family, TCP", "0d0a0d0a000d0a515549540a2101000cc0000201c6336402303901bb"},
	{"family 4", "0d0a0d0a000d0a515549540a2141000cc0000201c6336402303901bb"},
	{"family 15", "0d0a0d0a000d0a515549540a21f1000cc0000201c6336402303901bb"},
	{"transport 3", "0d0a0d0a000d0a515549540a2113000cc0000201c6336402303901bb"},
	{"no addresses", "0d0a0d0a000d0a515549540a21110000"},
	{"v4 one byte short", "0d0a0d0a000d0a515549540a2111000bc0000201c6336402303901"},
	{"v6 one byte short", "0d0a0d0a000d0a515549540a2121002320010db80000000000000000000000012001"
			      "0db8000000000000000000000002303901"},
	{"v6 with the addresses of v4", "0d0a0d0a000d0a515549540a2121000cc0000201c6336402303901bb"},
	{"length 65535", "0d0a0d0a000d0a515549540a2111ffffc0000201c6336402303901bb"},
	{"length 65535 of LOCAL", "0d0a0d0a000d0a515549540a2000ffff"},
	{"signature: first byte", "0e0a0d0a000d0a515549540a2111000cc0000201c6336402303901bb"},
	{"signature: NUL missing", "0d0a0d0a0d0a515549540a2111000cc0000201c6336402303901bb"},
	{"signature: last byte", "0d0a0d0a000d0a515549540d2111000cc0000201c6336402303901bb"},
	{"signature: lower case", "0d0a0d0a000d0a717569740a2111000cc0000201c6336402303901bb"},
	{"one byte behind the addresses",
	 "0d0a0d0a000d0a515549540a2111000dc0000201c6336402303901bb04"},
	{"two bytes", "0d0a0d0a000d0a515549540a2111000ec0000201c6336402303901bb0400"},
	{"TLV beyond the end by one",
	 "0d0a0d0a000d0a515549540a21110012c0000201c6336402303901bb040004616263"},
	{"TLV of 65535", "0d0a0d0a000d0a515549540a21110012c0000201c6336402303901bb04ffff616263"},
	{"second TLV cut",
	 "0d0a0d0a000d0a515549540a21110016c0000201c6336402303901bb04000361626301000268"},
	{"checksum wrong",
	 "0d0a0d0a000d0a515549540a21110013c0000201c6336402303901bb03000400000000"},
	{"checksum of 3 bytes",
	 "0d0a0d0a000d0a515549540a21110012c0000201c6336402303901bb030003000000"},
	{"checksum of 5 bytes",
	 "0d0a0d0a000d0a515549540a21110014c0000201c6336402303901bb0300050000000000"},
	{"empty checksum", "0d0a0d0a000d0a515549540a2111000fc0000201c6336402303901bb030000"},
	{"two checksums",
	 "0d0a0d0a000d0a515549540a2111001ac0000201c6336402303901bb030004c8ccd4b7030004c8ccd4b7"},
	{"checksum holds, an address changed",
	 "0d0a0d0a000d0a515549540a21110013c1000201c6336402303901bb030004c8ccd4b7"},
	{"SSL of 4 bytes",
	 "0d0a0d0a000d0a515549540a21110013c0000201c6336402303901bb20000401000000"},
	{"empty SSL", "0d0a0d0a000d0a515549540a2111000fc0000201c6336402303901bb200000"},
	{"SSL: inner TLV beyond it",
	 "0d0a0d0a000d0a515549540a21110035c0000201c6336402303901bb20000f0100000000210008544c5376312"
	 "e330400147878787878787878787878787878787878787878"},
	{"SSL: inner TLV cut",
	 "0d0a0d0a000d0a515549540a21110016c0000201c6336402303901bb20000701000000002100"},
	{"two SSL", "0d0a0d0a000d0a515549540a2111003ac0000201c6336402303901bb2000140100000000210007"
		    "544c5376312e33220002636e2000140100000000210007544c5376312e33220002636e"},
	{"no family, cut TLV", "0d0a0d0a000d0a515549540a21000003040001"},
};

static unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* In memory of just that size, so that a sanitizer sees a byte too far. */
static struct str from_hex(const char *hex)
{
	size_t n = strlen(hex) / 2;
	char *out = malloc(n);

	assert_non_null(out);
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
	return (struct str){out, n};
}

static void free_str(struct str s)
{
	free((char *)(uintptr_t)s.ptr);
}

static void assert_addr(const struct addr *a, const char *want)
{
	char text[ADDR_TEXT_SIZE];

	addr_text(a, text, sizeof(text));
	assert_string_equal(text, want);
}

/* Whole, at every length before that, and with more behind it. */
static void check_good(const char *name, struct str bytes, const char *source,
		       const char *destination)
{
	struct proxy_header h = {0};
	struct err e = ERR_INIT;

	for (size_t n = 0; n < bytes.len; n++)
		if (proxy_header_parse(str_sub(bytes, 0, n), &h, &e) != PROXY_MORE)
			fail_msg("%s: not a beginning at %zu: %s", name, n, e.message);
	if (proxy_header_parse(bytes, &h, &e) != PROXY_DONE)
		fail_msg("%s: %s", name, e.message);
	assert_int_equal(h.len, bytes.len);
	assert_int_equal(h.addressed, source != NULL);
	if (source) {
		assert_addr(&h.source, source);
		assert_addr(&h.destination, destination);
	}
}

/* Refused, whatever comes behind it. */
static void check_bad(const char *name, struct str bytes)
{
	struct proxy_header h = {.len = 77};
	struct err e = ERR_INIT;

	if (proxy_header_parse(bytes, &h, &e) != PROXY_BAD)
		fail_msg("%s: not refused", name);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_int_equal(h.len, 77);
}

static void test_v1_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(v1_good); i++)
		check_good(v1_good[i].text, str_from(v1_good[i].text), v1_good[i].source,
			   v1_good[i].destination);
}

static void test_v1_bad(void **state)
{
	(void)state;
	assert_true(array_len(v1_bad) + array_len(v2_bad) >= 60);
	for (size_t i = 0; i < array_len(v1_bad); i++)
		check_bad(v1_bad[i], str_from(v1_bad[i]));
}

static void test_v1_107_bytes_at_most(void **state)
{
	char line[PROXY_V1_MAX + 3];
	struct proxy_header h;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	assert_int_equal(proxy_header_parse((struct str){line, PROXY_V1_MAX - 1}, &h, NULL),
			 PROXY_MORE);
	assert_int_equal(proxy_header_parse((struct str){line, PROXY_V1_MAX}, &h, NULL), PROXY_BAD);
	memcpy(line + PROXY_V1_MAX - 1, "\r\n", 2); /* 108 bytes */
	assert_int_equal(proxy_header_parse((struct str){line, PROXY_V1_MAX + 1}, &h, NULL),
			 PROXY_BAD);
	memcpy(line + PROXY_V1_MAX - 2, "\r\n", 2);
	assert_int_equal(proxy_header_parse((struct str){line, PROXY_V1_MAX}, &h, NULL),
			 PROXY_DONE);
	assert_int_equal(h.len, PROXY_V1_MAX);
}

static void test_v2_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(v2_good); i++) {
		struct str bytes = from_hex(v2_good[i].hex);

		check_good(v2_good[i].name, bytes, v2_good[i].source, v2_good[i].destination);
		free_str(bytes);
	}
}

static void test_v2_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(v2_bad); i++) {
		struct str bytes = from_hex(v2_bad[i].hex);

		check_bad(v2_bad[i].name, bytes);
		free_str(bytes);
	}
}

/* A header of IPv4 with one TLV of n bytes behind it. */
static struct str with_tlv(unsigned char type, size_t n)
{
	static const char start[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11";
	size_t size = PROXY_V2_START + 12 + 3 + n;
	unsigned char *p = calloc(1, size);

	assert_non_null(p);
	memcpy(p, start, sizeof(start) - 1);
	p[14] = (unsigned char)((size - PROXY_V2_START) >> 8);
	p[15] = (unsigned char)(size - PROXY_V2_START);
	p[PROXY_V2_START + 12] = type;
	p[PROXY_V2_START + 13] = (unsigned char)(n >> 8);
	p[PROXY_V2_START + 14] = (unsigned char)n;
	return (struct str){(char *)p, size};
}

static void test_v2_lengths(void **state)
{
	static const struct {
		unsigned char type;
		size_t size;
		bool good;
	} rows[] = {
		{0x04, PROXY_V2_LENGTH_MAX - 15, true},
		{0x04, PROXY_V2_LENGTH_MAX - 14, false},
		{0x05, 128, true},
		{0x05, 129, false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct str bytes = with_tlv(rows[i].type, rows[i].size);

		if (rows[i].good)
			check_good("length", bytes, "0.0.0.0:0", "0.0.0.0:0");
		else
			check_bad("length", bytes);
		free_str(bytes);
	}
}

/* PP-07: what stands behind the header is not looked at. */
static void test_only_the_header_is_used(void **state)
{
	static const char tail[] = "\x20\x00\x01\x16\x03\x01";
	struct proxy_header h;

	(void)state;
	for (size_t i = 0; i < array_len(v2_good); i++) {
		struct str bytes = from_hex(v2_good[i].hex);
		char more[PROXY_HEADER_MAX + sizeof(tail)];

		memcpy(more, bytes.ptr, bytes.len);
		memcpy(more + bytes.len, tail, sizeof(tail));
		assert_int_equal(
			proxy_header_parse((struct str){more, bytes.len + sizeof(tail)}, &h, NULL),
			PROXY_DONE);
		assert_int_equal(h.len, bytes.len);
		free_str(bytes);
	}
}

/* What is written is what is read again. */
static void test_write(void **state)
{
	static const struct {
		const char *source, *destination;
		bool v1; /* can say it */
	} rows[] = {
		{"192.0.2.1:12345", "198.51.100.2:443", true},
		{"0.0.0.0:0", "255.255.255.255:65535", true},
		{"[2001:db8::1]:12345", "[2001:db8::2]:443", true},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535", true},
		{"[::1.2.3.4]:1", "[2001:db8::2]:2", true},
		{"192.0.2.1:1", "[2001:db8::2]:2", false},
		{"[2001:db8::1]:1", "198.51.100.2:2", false},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		char out[PROXY_WRITTEN_MAX];
		struct addr from, to;

		assert_int_equal(addr_parse(&from, str_from(rows[i].source), NULL), 0);
		assert_int_equal(addr_parse(&to, str_from(rows[i].destination), NULL), 0);
		check_good("v1", (struct str){out, proxy_header_write(out, PROXY_V1, &from, &to)},
			   rows[i].v1 ? rows[i].source : NULL, rows[i].destination);
		check_good("v2", (struct str){out, proxy_header_write(out, PROXY_V2, &from, &to)},
			   rows[i].source, rows[i].destination);
		assert_int_equal(proxy_header_write(out, PROXY_OFF, &from, &to), 0);
	}
}

static void test_write_without_addresses(void **state)
{
	char out[PROXY_WRITTEN_MAX];
	const struct addr none = {0};

	(void)state;
	check_good("v1", (struct str){out, proxy_header_write(out, PROXY_V1, &none, &none)}, NULL,
		   NULL);
	check_good("v2", (struct str){out, proxy_header_write(out, PROXY_V2, &none, &none)}, NULL,
		   NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1_good),
		cmocka_unit_test(test_v1_bad),
		cmocka_unit_test(test_v1_107_bytes_at_most),
		cmocka_unit_test(test_v2_good),
		cmocka_unit_test(test_v2_bad),
		cmocka_unit_test(test_v2_lengths),
		cmocka_unit_test(test_only_the_header_is_used),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_without_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
