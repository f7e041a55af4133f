/* HTTP/1 framing, content and limits by row of reliability-goals sections 2 and 3: each input
 * alone, pipelined, after a body, and cut at every byte. */
#include "common/http/h1_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/core/compiler.h"
#include "tests/unit/lib/h1_transcript.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define WITH(fields) STR(GET fields "\r\n")
#define POST(fields, body) STR("POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n" body)
#define CHUNKED(body) POST("Transfer-Encoding: chunked\r\n", body)

/* clang-format off */
static const struct h1_row framing[] = {
	{"H1-01 length then coding", POST("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400 H1-01"},
	{"H1-01 coding then length", POST("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "abc"), "400 H1-01"},
	{"H1-01 bad length", POST("Transfer-Encoding: chunked\r\nContent-Length: x\r\n", ""), "400 H1-01"},
	{"H1-01 bad coding", POST("Transfer-Encoding: x\r\nContent-Length: 0\r\n", ""), "400 H1-01"},
	{"H1-01 both empty", POST("Transfer-Encoding:\r\nContent-Length:\r\n", ""), "400 H1-01"},
	{"H1-01 in 1.0", STR("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\na"), "400 H1-01"},
	{"H1-02 two equal", POST("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), "400 H1-02"},
	{"H1-02 two different", POST("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), "400 H1-02"},
	{"H1-02 other case", POST("Content-Length: 3\r\ncontent-length: 3\r\n", "abc"), "400 H1-02"},
	{"H1-02 list equal", POST("Content-Length: 3, 3\r\n", "abc"), "400 H1-02"},
	{"H1-02 list different", POST("Content-Length: 3,4\r\n", "abc"), "400 H1-02"},
	{"H1-02 trailing comma", POST("Content-Length: 3,\r\n", "abc"), "400 H1-02"},
	{"H1-02 leading comma", POST("Content-Length: ,3\r\n", "abc"), "400 H1-02"},
	{"H1-03 plus", POST("Content-Length: +3\r\n", "abc"), "400 H1-03"},
	{"H1-03 minus", POST("Content-Length: -3\r\n", "abc"), "400 H1-03"},
	{"H1-03 minus zero", POST("Content-Length: -0\r\n", ""), "400 H1-03"},
	{"H1-03 space inside", POST("Content-Length: 3 3\r\n", "abc"), "400 H1-03"},
	{"H1-03 tab inside", POST("Content-Length: 3\t3\r\n", "abc"), "400 H1-03"},
	{"H1-03 hex", POST("Content-Length: 0x3\r\n", "abc"), "400 H1-03"},
	{"H1-03 hex digit", POST("Content-Length: a\r\n", "abc"), "400 H1-03"},
	{"H1-03 underscore", POST("Content-Length: 1_0\r\n", "abc"), "400 H1-03"},
	{"H1-03 letter behind", POST("Content-Length: 3a\r\n", "abc"), "400 H1-03"},
	{"H1-03 exponent", POST("Content-Length: 1e1\r\n", "abc"), "400 H1-03"},
	{"H1-03 point", POST("Content-Length: 3.0\r\n", "abc"), "400 H1-03"},
	{"H1-03 semicolon", POST("Content-Length: 3;\r\n", "abc"), "400 H1-03"},
	{"H1-03 quoted", POST("Content-Length: \"3\"\r\n", "abc"), "400 H1-03"},
	{"H1-03 empty", POST("Content-Length:\r\n", ""), "400 H1-03"},
	{"H1-03 only spaces", POST("Content-Length:   \r\n", ""), "400 H1-03"},
	{"H1-03 arabic digit", POST("Content-Length: \xd9\xa3\r\n", "abc"), "400 H1-03"},
	{"H1-03 fullwidth digit", POST("Content-Length: \xef\xbc\x93\r\n", "abc"), "400 H1-03"},
	{"H1-03 2^63", POST("Content-Length: 9223372036854775808\r\n", ""), "400 H1-03"},
	{"H1-03 2^64", POST("Content-Length: 18446744073709551616\r\n", ""), "400 H1-03"},
	{"H1-03 2^64+3", POST("Content-Length: 18446744073709551619\r\n", "abc"), "400 H1-03"},
	{"H1-03 very long", POST("Content-Length: 99999999999999999999999999999999999999\r\n", ""), "400 H1-03"},
	{"H1-04 zero", POST("Content-Length: 0\r\n", ""), "POST / a"},
	{"H1-04 largest", POST("Content-Length: 9223372036854775807\r\n", "a"), "POST / a =a..."},
	{"H1-04 leading zeros", POST("Content-Length: 0000000000000000000000003\r\n", "abc"), "POST / a =abc"},
	{"H1-04 spaces around", POST("Content-Length: \t 3 \t\r\n", "abc"), "POST / a =abc"},
	{"H1-05 chunked", CHUNKED("3\r\nabc\r\n0\r\n\r\n"), "POST / a =abc"},
	{"H1-05 any case", POST("TRANSFER-ENCODING: ChUnKeD\r\n", "0\r\n\r\n"), "POST / a"},
	{"H1-05 spaces around", POST("Transfer-Encoding: \tchunked \t\r\n", "0\r\n\r\n"), "POST / a"},
	{"H1-05 no space", POST("Transfer-Encoding:chunked\r\n", "0\r\n\r\n"), "POST / a"},
	{"H1-05 twice", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), "400 H1-05"},
	{"H1-05 identity then chunked", POST("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", ""), "400 H1-05"},
	{"H1-05 list repeat", POST("Transfer-Encoding: chunked, chunked\r\n", ""), "400 H1-05"},
	{"H1-05 leading comma", POST("Transfer-Encoding: ,chunked\r\n", ""), "400 H1-05"},
	{"H1-05 trailing comma", POST("Transfer-Encoding: chunked,\r\n", ""), "400 H1-05"},
	{"H1-05 empty", POST("Transfer-Encoding:\r\n", ""), "400 H1-05"},
	{"H1-05 parameter", POST("Transfer-Encoding: chunked;a=b\r\n", ""), "400 H1-05"},
	{"H1-05 semicolon", POST("Transfer-Encoding: chunked;\r\n", ""), "400 H1-05"},
	{"H1-05 quotes", POST("Transfer-Encoding: \"chunked\"\r\n", ""), "400 H1-05"},
	{"H1-05 single quotes", POST("Transfer-Encoding: 'chunked'\r\n", ""), "501 H1-05"},
	{"H1-05 vertical tab", POST("Transfer-Encoding: \x0b" "chunked\r\n", ""), "400 H1-11"},
	{"H1-05 nul", POST("Transfer-Encoding: chunked\0\r\n", ""), "400 H1-11"},
	{"H1-05 high byte", POST("Transfer-Encoding: \xff" "chunked\r\n", ""), "400 H1-05"},
	{"H1-05 nbsp", POST("Transfer-Encoding: \xa0" "chunked\r\n", ""), "400 H1-05"},
	{"H1-05 space inside", POST("Transfer-Encoding: chun ked\r\n", ""), "400 H1-05"},
	{"H1-05 identity", POST("Transfer-Encoding: identity\r\n", ""), "400 H1-05"},
	{"H1-05 identity, chunked", POST("Transfer-Encoding: identity, chunked\r\n", ""), "400 H1-05"},
	{"H1-05 chunked not last", POST("Transfer-Encoding: chunked, gzip\r\n", ""), "400 H1-05"},
	{"H1-05 chunked, identity", POST("Transfer-Encoding: chunked, identity\r\n", ""), "400 H1-05"},
	{"H1-05 gzip", POST("Transfer-Encoding: gzip\r\n", ""), "501 H1-05"},
	{"H1-05 gzip, chunked", POST("Transfer-Encoding: gzip, chunked\r\n", ""), "501 H1-05"},
	{"H1-05 xchunked", POST("Transfer-Encoding: xchunked\r\n", ""), "501 H1-05"},
	{"H1-05 chunked-", POST("Transfer-Encoding: chunked-\r\n", ""), "501 H1-05"},
	{"H1-06 coding in 1.0", STR("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400 H1-06"},
	{"H1-06 unknown coding in 1.0", STR("POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n"), "400 H1-06"},
	{"H1-07 Transfer_Encoding", WITH("Transfer_Encoding: chunked\r\n"), "GET / a"},
	{"H1-07 Content_Length", WITH("Content_Length: 5\r\n"), "GET / a"},
	{"H1-07 CONTENT_LENGTH beside", POST("CONTENT_LENGTH: 5\r\nContent-Length: 3\r\n", "abc"), "POST / a =abc"},
	{"H1-07 space in the name", WITH("Transfer -Encoding: chunked\r\n"), "400 H1-08"},
	{"H1-07 control byte in the name", WITH("Transfer\x01-Encoding: chunked\r\n"), "400 H1-08"},
	{"H1-07 control byte before the name", WITH("\x0bTransfer-Encoding: chunked\r\n"), "400 H1-08"},
	{"H1-07 nul in the name", WITH("Transfer-\0Encoding: chunked\r\n"), "400 H1-08"},
	{"TR-03 X_Forwarded_For", WITH("X_Forwarded_For: 1.2.3.4\r\nX-Forwarded_Proto: https\r\nmy_field: 1\r\n"), "GET / a my_field:1"},
	{"H1-30 body on GET", WITH("Content-Length: 3\r\n"), "GET / a..."},
	{"H1-30 length on GET", STR(GET "Content-Length: 3\r\n\r\nabc"), "GET / a =abc"},
	{"H1-30 chunks on HEAD", STR("HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"), "HEAD / a =a"},
	{"H1-30 length on DELETE", STR("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n"), "DELETE / a =GET / HTTP/1.1\r\n\r\n"},
	{"H1-30 length on OPTIONS", STR("OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"), "OPTIONS * a =a"},
};
/* clang-format on */

/* clang-format off */
static const struct h1_row bodies[] = {
	{"H1-24 with a body", POST("Expect: 100-continue\r\nContent-Length: 1\r\n", "a"), "POST / a !expect =a"},
	{"H1-24 with chunks", POST("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "POST / a !expect"},
	{"H1-24 without a body", WITH("Expect: 100-continue\r\n"), "GET / a"},
	{"H1-24 length zero", POST("Expect: 100-continue\r\nContent-Length: 0\r\n", ""), "POST / a"},
	{"H1-24 in 1.0", STR("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"), "POST / - !close =a"},
	{"H1-24 another", POST("Expect: 200-ok\r\nContent-Length: 1\r\n", "a"), "417 H1-24"},
	{"H1-24 two in a list", POST("Expect: 100-continue, x\r\nContent-Length: 1\r\n", "a"), "417 H1-24"},
	{"H1-24 twice", POST("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n", "a"), "417 H1-24"},
	{"H1-24 empty", POST("Expect:\r\nContent-Length: 1\r\n", "a"), "417 H1-24"},
	{"H1-24 look-alike", POST("Expect: x100-continue\r\nContent-Length: 1\r\n", "a"), "417 H1-24"},
	{"H1-26 two chunks", CHUNKED("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), "POST / a =abc"},
	{"H1-26 hex, both cases", CHUNKED("a\r\n0123456789\r\nB\r\nabcdefghijk\r\n0\r\n\r\n"), "POST / a =0123456789abcdefghijk"},
	{"H1-26 leading zeros", CHUNKED("0000000000000001\r\na\r\n000\r\n\r\n"), "POST / a =a"},
	{"H1-26 plus", CHUNKED("+1\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 minus", CHUNKED("-1\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 0x", CHUNKED("0x1\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 space before", CHUNKED(" 1\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 tab before", CHUNKED("\t1\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 space behind", CHUNKED("1 \r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 space before extension", CHUNKED("1 ;a\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 underscore", CHUNKED("1_0\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 empty", CHUNKED("\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 only an extension", CHUNKED(";a\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 no hex digit", CHUNKED("g\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 h behind", CHUNKED("1h\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 point", CHUNKED("1.0\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 17 digits", CHUNKED("00000000000000001\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 2^64+1", CHUNKED("10000000000000001\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 2^64-1", CHUNKED("ffffffffffffffff\r\na"), "POST / a 400 H1-26"},
	{"H1-26 2^63", CHUNKED("8000000000000000\r\na"), "POST / a 400 H1-26"},
	{"H1-26 2^63-1", CHUNKED("7fffffffffffffff\r\na"), "POST / a =a..."},
	{"H1-26 sum over 2^63-1", CHUNKED("1\r\na\r\n7fffffffffffffff\r\nb"), "POST / a =a 400 H1-26"},
	{"H1-26 nul", CHUNKED("1\0\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-26 high byte", CHUNKED("\xb1\r\na\r\n"), "POST / a 400 H1-26"},
	{"H1-27 name", CHUNKED("1;a\r\na\r\n0\r\n\r\n"), "POST / a =a"},
	{"H1-27 value", CHUNKED("1;a=b\r\na\r\n0;c=d\r\n\r\n"), "POST / a =a"},
	{"H1-27 quoted", CHUNKED("1;a=\"b c;\\\"\"\r\na\r\n0\r\n\r\n"), "POST / a =a"},
	{"H1-27 several", CHUNKED("1;a;b=c;d=\"\"\r\na\r\n0\r\n\r\n"), "POST / a =a"},
	{"H1-27 spaces", CHUNKED("1; a = b ; c\r\na\r\n0\r\n\r\n"), "POST / a =a"},
	{"H1-27 no name", CHUNKED("1;\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 no name, value", CHUNKED("1;=b\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 no value", CHUNKED("1;a=\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 no value, space", CHUNKED("1;a= \r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 two semicolons", CHUNKED("1;;a\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 space at the end", CHUNKED("1;a \r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 nul", CHUNKED("1;a\0\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 control", CHUNKED("1;a=\"\x01\"\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 CR inside", CHUNKED("1;a\rb\r\na\r\n"), "POST / a 400 H1-11"},
	{"H1-27 LF inside", CHUNKED("1;a\nb\r\na\r\n"), "POST / a 400 H1-10"},
	{"H1-27 quoted line end", CHUNKED("1;a=\"\r\n\"\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 open quote", CHUNKED("1;a=\"b\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 text behind the quote", CHUNKED("1;a=\"b\"c\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-27 quote ends in backslash", CHUNKED("1;a=\"b\\\r\na\r\n"), "POST / a 400 H1-27"},
	{"H1-28 data longer", CHUNKED("1\r\nab\r\n0\r\n\r\n"), "POST / a =a 400 H1-28"},
	{"H1-28 data shorter", CHUNKED("3\r\na\r\n0\r\n\r\n"), "POST / a =a\r\n 400 H1-28"},
	{"H1-28 no CRLF", CHUNKED("1\r\na0\r\n\r\n"), "POST / a =a 400 H1-28"},
	{"H1-28 LF only", CHUNKED("1\r\na\n0\r\n\r\n"), "POST / a =a 400 H1-28"},
	{"H1-28 CR only", CHUNKED("1\r\na\r0\r\n\r\n"), "POST / a =a 400 H1-28"},
	{"H1-28 two CR", CHUNKED("1\r\na\r\r\n0\r\n\r\n"), "POST / a =a 400 H1-28"},
	{"H1-28 last chunk without the end", CHUNKED("0\r\n"), "POST / a..."},
	{"H1-28 no last chunk", CHUNKED("1\r\na\r\n"), "POST / a =a..."},
	{"H1-28 CR at the end of trailers", CHUNKED("0\r\n\rX"), "POST / a..."},
	{"H1-29 trailers", CHUNKED("0\r\nX: 1\r\nGrpc-Status: 0\r\n\r\n"), "POST / a ~x:1 ~grpc-status:0"},
	{"H1-29 never in the head", POST("X: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\nX: 1\r\n\r\n"), "POST / a x:0 ~x:1"},
	{"H1-29 framing", CHUNKED("0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n"), "POST / a"},
	{"H1-29 routing", CHUNKED("0\r\nHost: b\r\n\r\n"), "POST / a"},
	{"H1-29 authentication", CHUNKED("0\r\nAuthorization: x\r\nCookie: y\r\nProxy-Authorization: z\r\n\r\n"), "POST / a"},
	{"H1-29 hop-by-hop", CHUNKED("0\r\nConnection: close\r\nUpgrade: h2c\r\nTE: x\r\nKeep-Alive: 1\r\n\r\n"), "POST / a"},
	{"H1-29 content", CHUNKED("0\r\nContent-Type: a\r\nContent-Encoding: gzip\r\nContent-Range: x\r\n\r\n"), "POST / a"},
	{"H1-29 forwarded", CHUNKED("0\r\nX-Forwarded-For: 1\r\nForwarded: x\r\nX-Real-IP: 1\r\nX_Forwarded_For: 1\r\n\r\n"), "POST / a"},
	{"H1-29 bad name", CHUNKED("0\r\nX Y: 1\r\n\r\n"), "POST / a 400 H1-08"},
	{"H1-29 no colon", CHUNKED("0\r\nGET / HTTP/1.1\r\n\r\n"), "POST / a 400 H1-08"},
	{"H1-29 control byte", CHUNKED("0\r\nX: \x01\r\n\r\n"), "POST / a 400 H1-11"},
	{"length not reached", POST("Content-Length: 4\r\n", "abc"), "POST / a =abc..."},
};
/* clang-format on */

static const struct h1_limits small = {
	.request_line = 20,
	.field = 30,
	.head = 64,
	.fields = 3,
	.chunk_line = 8,
	.extensions = 10,
	.trailers = 24,
	.trailer_fields = 2,
	.body = 5,
};

/* clang-format off */
static const struct h1_row limited[] = {
	{"request line at its limit", STR("GET /2345678 HTTP/1.0\r\n\r\n") , "414 limit_request_line"},
	{"request line below", STR("GET /234567 HTTP/1.0\r\n\r\n"), "GET /234567 - !close"},
	{"request line without end", STR("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "414 limit_request_line"},
	{"method without end", STR("GGGGGGGGGGGGGGGGGGGGGGGGGGG"), "414 limit_request_line"},
	{"request line without LF", STR("GET / HTTP/1.0\r\r\r\r\r\r\r\r\r\r"), "414 limit_request_line"},
	{"field at its limit", STR("GET / HTTP/1.0\r\nX: 345678901234567890123456789\r\n\r\n"), "GET / - x:345678901234567890123456789 !close"},
	{"field over", STR("GET / HTTP/1.0\r\nX: 3456789012345678901234567890\r\n\r\n"), "431 limit_field"},
	{"field without end", STR("GET / HTTP/1.0\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "431 limit_field"},
	{"field name without end", STR("GET / HTTP/1.0\r\nXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"), "431 limit_field"},
	{"head at its limit", STR("GET / HTTP/1.0\r\nX: 45678901234567890123456\r\nY: 4567890123456\r\n\r\n"), "GET / - x:45678901234567890123456 y:4567890123456 !close"},
	{"head over by the last line", STR("GET / HTTP/1.0\r\nX: 45678901234567890123456\r\nY: 45678901234560\r\n\r\n"), "431 limit_head"},
	{"head over by a field", STR("GET / HTTP/1.0\r\nX: 45678901234567890123456\r\nY: 4567890123456678\r\n\r\n"), "431 limit_head"},
	{"head over by an empty line before", STR("\r\nGET / HTTP/1.0\r\nX: 45678901234567890123456\r\nY: 4567890123456\r\n\r\n"), "431 limit_head"},
	{"fields at their limit", STR("GET / HTTP/1.0\r\nA:1\r\nB:\r\nC:\r\n\r\n"), "GET / - a:1 b: c: !close"},
	{"fields over", STR("GET / HTTP/1.0\r\nA:1\r\nB:\r\nC:\r\nD:\r\n\r\n"), "431 limit_fields"},
	{"own fields count", STR("GET / HTTP/1.0\r\nA:1\r\nTE:\r\nTE:\r\nTE:\r\n\r\n"), "431 limit_fields"},
	{"dropped fields count", STR("GET / HTTP/1.0\r\nA:1\r\nX_Real_IP:\r\nKeep-Alive:\r\nTE:\r\n\r\n"), "431 limit_fields"},
	{"body at its limit", STR("P / HTTP/1.0\r\nContent-Length: 5\r\n\r\n12345"), "P / - !close =12345"},
	{"body over is known at the head", STR("P / HTTP/1.0\r\nContent-Length: 6\r\n\r\n"), "413 limit_body"},
	{"bad length before large length", STR("P / HTTP/1.0\r\nContent-Length: 6a\r\n\r\n"), "400 H1-03"},
	{"chunks at the limit", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n"), "P / a =12345"},
	{"chunks over", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n3\r\n123\r\n3\r\n"), "P / a =123 413 limit_body"},
	{"one chunk over", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n6\r\n"), "P / a 413 limit_body"},
	{"chunk line at its limit", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n1;345678\r\n1\r\n0\r\n\r\n"), "P / a =1"},
	{"chunk line over", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n1;3456789\r\n1\r\n"), "P / a 400 limit_chunk_line"},
	{"chunk line without end", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n00000000000"), "P / a 400 limit_chunk_line"},
	{"extensions at their limit", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n1;2345\r\n1\r\n1;2345\r\n1\r\n0\r\n\r\n"), "P / a =11"},
	{"extensions over", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n1;2345\r\n1\r\n1;2345\r\n1\r\n0;x\r\n\r\n"), "P / a =11 400 limit_extensions"},
	{"trailers at their limit", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n0\r\nA: 45678\r\nB: 4567890\r\n\r\n"), "P / a ~a:45678 ~b:4567890"},
	{"trailers over", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n0\r\nA: 45678\r\nB: 45678901\r\n\r\n"), "P / a 400 limit_trailers"},
	{"trailer without end", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n0\r\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), "P / a 400 limit_trailers"},
	{"trailer fields over", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n0\r\nA:\r\nB:\r\nC:\r\n\r\n"), "P / a 400 limit_trailer_fields"},
	{"dropped trailers count", STR("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n0\r\nTE:\r\nTE:\r\nTE:\r\n\r\n"), "P / a 400 limit_trailer_fields"},
};
/* clang-format on */

static void test_limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(limited); i++)
		h1_check(limited[i].name, limited[i].input, str_from(limited[i].want), &small);
}

/* The written defaults, by a field of n bytes in a head that is otherwise small. */
static void check_default(const char *start, size_t n, const char *end, const char *want)
{
	struct buf input = BUF_INIT;
	struct buf got = BUF_INIT;

	assert_int_equal(buf_add_str(&input, str_from(start), NULL), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_add(&input, "a", 1, NULL), 0);
	assert_int_equal(buf_add_str(&input, str_from(end), NULL), 0);
	h1_transcript(&got, buf_str(&input), input.len / 2, false, NULL);
	assert_true(str_starts(buf_str(&got), str_from(want)));
	buf_deinit(&input);
	buf_deinit(&got);
}

static void test_default_limits(void **state)
{
	(void)state;
	check_default("GET /", 8192 - 14, " HTTP/1.0\r\n\r\n", "GET /aaa");
	check_default("GET /", 8192 - 13, " HTTP/1.0\r\n\r\n", "414 limit_request_line");
	check_default("GET / HTTP/1.0\r\nX:", 16384 - 2, "\r\n\r\n", "GET / - x:aaa");
	check_default("GET / HTTP/1.0\r\nX:", 16384 - 1, "\r\n\r\n", "431 limit_field");
	check_default("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n1;", 254,
		      "\r\n1\r\n0\r\n\r\n", "P / a =1");
	check_default("P / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n1;", 255,
		      "\r\n1\r\n0\r\n\r\n", "P / a 400 limit_chunk_line");
}

static void test_preface(void **state)
{
	(void)state;
	assert_int_equal(h1_preface(0, STR(H1_PREFACE)), H1_PREFACE_WHOLE);
	assert_int_equal(h1_preface(0, STR(H1_PREFACE "more")), H1_PREFACE_WHOLE);
	assert_int_equal(h1_preface(0, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX")), H1_PREFACE_NO);
	assert_int_equal(h1_preface(0, STR("GET / HTTP/1.1")), H1_PREFACE_NO);
	assert_int_equal(h1_preface(0, STR("PR")), H1_PREFACE_PART);
	assert_int_equal(h1_preface(2, STR("I * HTTP/2.0\r\n\r\nSM\r\n\r\n")), H1_PREFACE_WHOLE);
	assert_int_equal(h1_preface(2, STR("X")), H1_PREFACE_NO);
	assert_int_equal(h1_preface(2, STR_NONE), H1_PREFACE_PART);
}

/* What the session asks beside the events. */
static void test_between_messages(void **state)
{
	struct str in =
		STR("POST / HTTP/1.1\r\nHost: A:80\r\nContent-Length: 007\r\n\r\nabcdefgGET");
	struct http_request request;
	struct str body = STR_NONE;
	struct h1_parser p;
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	h1_parser_init(&p, NULL, STR("https"));
	assert_int_equal(h1_parse(&p, &in, &body), H1_END);
	h1_parser_start(&p, &a, &request);
	assert_false(h1_parser_started(&p));
	assert_int_equal(h1_parse(&p, &in, &body), H1_HEAD);
	assert_true(h1_parser_started(&p));
	assert_true(request.has_body);
	assert_int_equal(request.content_length, 7);
	assert_int_equal(request.version, HTTP_11);
	assert_true(str_eq(request.scheme, STR("https")));
	assert_true(str_eq(request.authority, STR("A:80")));
	assert_true(str_eq(request.host, STR("a")));
	assert_null(request.query.ptr);
	assert_int_equal(h1_parse(&p, &in, &body), H1_BODY);
	assert_true(str_eq(body, STR("abcdefg")));
	assert_int_equal(h1_parse(&p, &in, &body), H1_END);
	assert_int_equal(h1_parse(&p, &in, &body), H1_END);
	assert_true(str_eq(in, STR("GET")));
	assert_false(h1_parser_started(&p));
	h1_parser_start(&p, &a, &request);
	assert_int_equal(h1_parse(&p, &in, &body), H1_MORE);
	assert_int_equal(in.len, 0);
	assert_true(h1_parser_started(&p));
	in = STR("\n");
	assert_int_equal(h1_parse(&p, &in, &body), H1_ERROR);
	assert_int_equal(h1_parse(&p, &in, &body), H1_ERROR);
	h1_parser_start(&p, &a, &request);
	assert_int_equal(h1_parse(&p, &in, &body), H1_ERROR);
	assert_int_equal(p.status, 400);
	h1_parser_deinit(&p);
	arena_deinit(&a);
}

/* Every place where the arena can be full: an answer, no crash. */
static void test_full_arena(void **state)
{
	struct http_request request;
	struct str body = STR_NONE;
	size_t full = 0;

	(void)state;
	for (size_t limit = 1; limit < 2048; limit += 16) {
		struct str in =
			STR("GET http://A?b HTTP/1.1\r\nHost: A\r\nX: 1\r\nConnection: y\r\n\r\n");
		enum h1_event event;
		struct h1_parser p;
		struct arena a;

		arena_init(&a, limit);
		h1_parser_init(&p, NULL, STR("http"));
		h1_parser_start(&p, &a, &request);
		event = h1_parse(&p, &in, &body);
		assert_true(event == H1_HEAD || (event == H1_ERROR && p.status == 500));
		full += event == H1_ERROR;
		h1_parser_deinit(&p);
		arena_deinit(&a);
	}
	assert_true(full > 5);
}

static void test_framing(void **state)
{
	(void)state;
	h1_check_rows(framing, array_len(framing));
}

static void test_bodies(void **state)
{
	(void)state;
	h1_check_rows(bodies, array_len(bodies));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing),	   cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_limits),	   cmocka_unit_test(test_default_limits),
		cmocka_unit_test(test_preface),	   cmocka_unit_test(test_between_messages),
		cmocka_unit_test(test_full_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
