/* HTTP/1 request heads by row of reliability-goals section 3. */
#include "common/http/h1_head.h"

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
#define HOST(value) STR("GET / HTTP/1.1\r\nHost:" value "\r\n\r\n")
#define LINE(line) STR(line "\r\nHost: a\r\n\r\n")

/* clang-format off */
static const struct h1_row fields[] = {
	{"H1-08 space before colon", WITH("X : 1\r\n"), "400 H1-08"},
	{"H1-08 tab before colon", WITH("X\t: 1\r\n"), "400 H1-08"},
	{"H1-08 length with space before colon", POST("Content-Length : 3\r\n", "abc"), "400 H1-08"},
	{"H1-08 leading space on the first", STR("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), "400 H1-08"},
	{"H1-08 leading tab on the first", STR("GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"), "400 H1-08"},
	{"H1-08 line of spaces first", STR("GET / HTTP/1.1\r\n  \r\nHost: a\r\n\r\n"), "400 H1-08"},
	{"H1-08 empty name", WITH(": 1\r\n"), "400 H1-08"},
	{"H1-08 only a colon", WITH(":\r\n"), "400 H1-08"},
	{"H1-08 no colon", WITH("X\r\n"), "400 H1-08"},
	{"H1-08 no colon, equals", WITH("X=1\r\n"), "400 H1-08"},
	{"H1-08 high byte in name", WITH("X\xe9: 1\r\n"), "400 H1-08"},
	{"H1-08 0x80 in name", WITH("\x80: 1\r\n"), "400 H1-08"},
	{"H1-08 quote in name", WITH("\"X\": 1\r\n"), "400 H1-08"},
	{"H1-08 parenthesis", WITH("X(: 1\r\n"), "400 H1-08"},
	{"H1-08 slash", WITH("X/Y: 1\r\n"), "400 H1-08"},
	{"H1-08 at", WITH("X@Y: 1\r\n"), "400 H1-08"},
	{"H1-08 bracket", WITH("X[: 1\r\n"), "400 H1-08"},
	{"H1-08 brace", WITH("X{: 1\r\n"), "400 H1-08"},
	{"H1-08 backslash", WITH("X\\: 1\r\n"), "400 H1-08"},
	{"H1-08 comma", WITH("X,Y: 1\r\n"), "400 H1-08"},
	{"H1-08 semicolon", WITH("X;Y: 1\r\n"), "400 H1-08"},
	{"H1-08 DEL", WITH("X\x7f: 1\r\n"), "400 H1-08"},
	{"H1-08 nul", WITH("X\0: 1\r\n"), "400 H1-08"},
	{"H1-08 all token bytes", WITH("!#$%&'*+-.^_`|~09azAZ: 1\r\n"), "GET / a !#$%&'*+-.^_`|~09azaz:1"},
	{"H1-09 folded with space", WITH("X: 1\r\n 2\r\n"), "400 H1-09"},
	{"H1-09 folded with tab", WITH("X: 1\r\n\t2\r\n"), "400 H1-09"},
	{"H1-09 folded Host", STR("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"), "400 H1-09"},
	{"H1-09 folded coding", POST("Transfer-Encoding:\r\n chunked\r\n", ""), "400 H1-09"},
	{"H1-09 line of spaces", WITH(" \r\n"), "400 H1-09"},
	{"H1-09 in trailers", CHUNKED("0\r\nX: 1\r\n 2\r\n\r\n"), "POST / a 400 H1-09"},
	{"H1-09 first trailer", CHUNKED("0\r\n X: 1\r\n\r\n"), "POST / a 400 H1-09"},
	{"H1-10 request line", STR("GET / HTTP/1.1\nHost: a\r\n\r\n"), "400 H1-10"},
	{"H1-10 field", STR("GET / HTTP/1.1\r\nHost: a\n\r\n"), "400 H1-10"},
	{"H1-10 second field", WITH("X: 1\nY: 2\r\n"), "400 H1-10"},
	{"H1-10 end of head", STR(GET "\n"), "400 H1-10"},
	{"H1-10 all", STR("GET / HTTP/1.1\nHost: a\n\n"), "400 H1-10"},
	{"H1-10 empty line before", STR("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "400 H1-10"},
	{"H1-10 smuggled in a value", WITH("X: 1\nTransfer-Encoding: chunked\r\n"), "400 H1-10"},
	{"H1-10 chunk line", CHUNKED("3\nabc\r\n0\r\n\r\n"), "POST / a 400 H1-10"},
	{"H1-10 chunk line with extension", CHUNKED("3;a\nabc\r\n0\r\n\r\n"), "POST / a 400 H1-10"},
	{"H1-10 last chunk", CHUNKED("0\n\r\n"), "POST / a 400 H1-10"},
	{"H1-10 end of trailers", CHUNKED("0\r\n\n"), "POST / a 400 H1-10"},
	{"H1-10 trailer", CHUNKED("0\r\nX: 1\n\r\n"), "POST / a 400 H1-10"},
	{"H1-11 CR in value", WITH("X: 1\r2\r\n"), "400 H1-11"},
	{"H1-11 CR CR LF", WITH("X: 1\r\r\n"), "400 H1-11"},
	{"H1-11 CR in name", WITH("X\rY: 1\r\n"), "400 H1-11"},
	{"H1-11 CR in request line", LINE("GET /\r HTTP/1.1"), "400 H1-11"},
	{"H1-11 CR behind version", LINE("GET / HTTP/1.1\r"), "400 H1-11"},
	{"H1-11 CR before request line", STR("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "400 H1-11"},
	{"H1-11 CR in chunk line", CHUNKED("3\r3\r\nabc\r\n"), "POST / a 400 H1-11"},
	{"H1-11 CR in trailer", CHUNKED("0\r\nX: \r1\r\n\r\n"), "POST / a 400 H1-11"},
	{"H1-11 nul in value", WITH("X: a\0b\r\n"), "400 H1-11"},
	{"H1-11 0x01", WITH("X: a\x01\r\n"), "400 H1-11"},
	{"H1-11 backspace", WITH("X: a\x08\r\n"), "400 H1-11"},
	{"H1-11 vertical tab", WITH("X: a\x0b\r\n"), "400 H1-11"},
	{"H1-11 form feed", WITH("X: a\x0c\r\n"), "400 H1-11"},
	{"H1-11 escape", WITH("X: \x1b[0m\r\n"), "400 H1-11"},
	{"H1-11 0x1f", WITH("X: \x1f\r\n"), "400 H1-11"},
	{"H1-11 DEL", WITH("X: a\x7f\r\n"), "400 H1-11"},
	{"H1-11 tab is fine", WITH("X: a\tb\r\n"), "GET / a x:a\tb"},
	{"H1-12 0x80", WITH("X: \x80\r\n"), "GET / a x:\x80"},
	{"H1-12 0xff", WITH("X: \xff\r\n"), "GET / a x:\xff"},
	{"H1-12 UTF-8", WITH("X: gr\xc3\xbc\xc3\x9f\r\n"), "GET / a x:gr\xc3\xbc\xc3\x9f"},
	{"H1-12 0x85 is no space", WITH("X: \x85\x61\r\n"), "GET / a x:\x85\x61"},
	{"empty value", WITH("X:\r\n"), "GET / a x:"},
	{"value of spaces", WITH("X: \t \r\n"), "GET / a x:"},
	{"colon in value", WITH("X: a:b\r\n"), "GET / a x:a:b"},
	{"same name twice stays twice", WITH("X: 1\r\nx: 2\r\n"), "GET / a x:1 x:2"},
};
/* clang-format on */

/* clang-format off */
static const struct h1_row lines[] = {
	{"H1-13 one empty line", STR("\r\n" GET "\r\n"), "GET / a"},
	{"H1-13 two empty lines", STR("\r\n\r\n" GET "\r\n"), "400 H1-13"},
	{"H1-13 three empty lines", STR("\r\n\r\n\r\n" GET "\r\n"), "400 H1-13"},
	{"H1-13 empty line alone", STR("\r\n"), "..."},
	{"H1-14 two spaces", LINE("GET  / HTTP/1.1"), "400 H1-14"},
	{"H1-14 two spaces before version", LINE("GET /  HTTP/1.1"), "400 H1-14"},
	{"H1-14 tab", LINE("GET\t/ HTTP/1.1"), "400 H1-14"},
	{"H1-14 tab before version", LINE("GET /\tHTTP/1.1"), "400 H1-14"},
	{"H1-14 tab behind", LINE("GET / HTTP/1.1\t"), "400 H1-14"},
	{"H1-14 leading space", LINE(" GET / HTTP/1.1"), "400 H1-14"},
	{"H1-14 leading tab", LINE("\tGET / HTTP/1.1"), "400 H1-14"},
	{"H1-14 trailing space", LINE("GET / HTTP/1.1 "), "400 H1-14"},
	{"H1-14 four parts", LINE("GET / x HTTP/1.1"), "400 H1-14"},
	{"H1-14 no version", STR("GET /\r\n"), "400 H1-14"},
	{"H1-14 no version, space", STR("GET / \r\n"), "400 H1-14"},
	{"H1-14 no target", LINE("GET HTTP/1.1"), "400 H1-14"},
	{"H1-14 only a method", STR("GET\r\n"), "400 H1-14"},
	{"H1-14 only spaces", STR("   \r\n"), "400 H1-14"},
	{"H1-15 1.2", LINE("GET / HTTP/1.2"), "GET / a"},
	{"H1-15 1.9", LINE("GET / HTTP/1.9"), "GET / a"},
	{"H1-15 2.0", LINE("GET / HTTP/2.0"), "505 H1-15"},
	{"H1-15 3.0", LINE("GET / HTTP/3.0"), "505 H1-15"},
	{"H1-15 9.9", LINE("GET / HTTP/9.9"), "505 H1-15"},
	{"H1-15 0.9", LINE("GET / HTTP/0.9"), "505 H1-15"},
	{"H1-15 lower case", LINE("GET / http/1.1"), "400 H1-15"},
	{"H1-15 mixed case", LINE("GET / Http/1.1"), "400 H1-15"},
	{"H1-15 two minor digits", LINE("GET / HTTP/1.10"), "400 H1-15"},
	{"H1-15 two major digits", LINE("GET / HTTP/11.1"), "400 H1-15"},
	{"H1-15 leading zero", LINE("GET / HTTP/01.1"), "400 H1-15"},
	{"H1-15 no minor", LINE("GET / HTTP/1."), "400 H1-15"},
	{"H1-15 no point", LINE("GET / HTTP/1"), "400 H1-15"},
	{"H1-15 comma", LINE("GET / HTTP/1,1"), "400 H1-15"},
	{"H1-15 letter", LINE("GET / HTTP/1.x"), "400 H1-15"},
	{"H1-15 plus", LINE("GET / HTTP/+1.1"), "400 H1-15"},
	{"H1-15 other name", LINE("GET / ICAP/1.1"), "400 H1-15"},
	{"H1-15 HTTP only", LINE("GET / HTTP"), "400 H1-15"},
	{"H1-15 no slash", LINE("GET / HTTP1.1"), "400 H1-15"},
	{"H1-15 nul", LINE("GET / HTTP/1.1\0"), "400 H1-15"},
	{"H1-16 unknown", LINE("BREW / HTTP/1.1"), "BREW / a"},
	{"H1-16 lower case is another", LINE("get / HTTP/1.1"), "get / a"},
	{"H1-16 token bytes", LINE("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1"), "M-SEARCH!#$%&'*+.^_`|~ / a"},
	{"H1-16 32 bytes", LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / HTTP/1.1"), "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / a"},
	{"H1-16 33 bytes", LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456 / HTTP/1.1"), "501 H1-16"},
	{"H1-16 colon", LINE("GE:T / HTTP/1.1"), "400 H1-16"},
	{"H1-16 parenthesis", LINE("(GET) / HTTP/1.1"), "400 H1-16"},
	{"H1-16 quote", LINE("\"GET\" / HTTP/1.1"), "400 H1-16"},
	{"H1-16 nul", LINE("GE\0T / HTTP/1.1"), "400 H1-16"},
	{"H1-16 high byte", LINE("G\xc9T / HTTP/1.1"), "400 H1-16"},
	{"H1-16 byte order mark", LINE("\xef\xbb\xbfGET / HTTP/1.1"), "400 H1-16"},
	{"H1-17 CONNECT", LINE("CONNECT a:443 HTTP/1.1"), "405 H1-17"},
	{"H1-17 CONNECT path", LINE("CONNECT / HTTP/1.1"), "405 H1-17"},
	{"H1-17 TRACE", LINE("TRACE / HTTP/1.1"), "TRACE / a !405"},
	{"H1-17 TRACK", LINE("TRACK / HTTP/1.1"), "TRACK / a !405"},
	{"H1-18 absolute", LINE("GET http://a/b?c HTTP/1.1"), "GET /b?c a"},
	{"H1-18 https", LINE("GET https://a/b HTTP/1.1"), "GET /b a"},
	{"H1-18 scheme in capitals", LINE("GET HTTP://a/b HTTP/1.1"), "GET /b a"},
	{"H1-18 no path", LINE("GET http://a HTTP/1.1"), "GET / a"},
	{"H1-18 no path, query", LINE("GET http://a?b=c HTTP/1.1"), "GET /?b=c a"},
	{"H1-18 OPTIONS without path", LINE("OPTIONS http://a HTTP/1.1"), "OPTIONS * a"},
	{"H1-18 case of host differs", LINE("GET http://A/ HTTP/1.1"), "GET / a"},
	{"H1-18 other host", LINE("GET http://b/ HTTP/1.1"), "400 H1-18"},
	{"H1-18 port only in target", LINE("GET http://a:80/ HTTP/1.1"), "400 H1-18"},
	{"H1-18 no Host", STR("GET http://a/ HTTP/1.1\r\n\r\n"), "400 H1-21"},
	{"H1-18 1.0 without Host", STR("GET http://a/ HTTP/1.0\r\n\r\n"), "GET / a !close"},
	{"H1-18 userinfo", LINE("GET http://u@a/ HTTP/1.1"), "400 H1-21"},
	{"H1-18 empty authority", LINE("GET http:/// HTTP/1.1"), "400 H1-21"},
	{"H1-18 nothing behind the slashes", LINE("GET http:// HTTP/1.1"), "400 H1-21"},
	{"H1-19 star", LINE("OPTIONS * HTTP/1.1"), "OPTIONS * a"},
	{"H1-19 star with GET", LINE("GET * HTTP/1.1"), "400 H1-19"},
	{"H1-19 star and more", LINE("OPTIONS *x HTTP/1.1"), "400 H1-19"},
	{"H1-19 authority-form", LINE("GET a:80 HTTP/1.1"), "400 H1-19"},
	{"H1-19 no slash", LINE("GET index.html HTTP/1.1"), "400 H1-19"},
	{"H1-19 query only", LINE("GET ?a=b HTTP/1.1"), "400 H1-19"},
	{"H1-19 ftp", LINE("GET ftp://a/ HTTP/1.1"), "400 H1-19"},
	{"H1-19 file", LINE("GET file:///etc/passwd HTTP/1.1"), "400 H1-19"},
	{"H1-19 javascript", LINE("GET javascript:1 HTTP/1.1"), "400 H1-19"},
	{"H1-19 one slash", LINE("GET http:/a HTTP/1.1"), "400 H1-19"},
	{"H1-19 backslash", LINE("GET \\a HTTP/1.1"), "400 H1-19"},
	{"H1-20 fragment", LINE("GET /a#b HTTP/1.1"), "400 H1-20"},
	{"H1-20 quote", LINE("GET /\" HTTP/1.1"), "400 H1-20"},
	{"H1-20 nul", LINE("GET /\0 HTTP/1.1"), "400 H1-20"},
	{"H1-20 control", LINE("GET /\x01 HTTP/1.1"), "400 H1-20"},
	{"H1-20 DEL", LINE("GET /\x7f HTTP/1.1"), "400 H1-20"},
	{"H1-20 0x80", LINE("GET /\x80 HTTP/1.1"), "400 H1-20"},
	{"H1-20 UTF-8", LINE("GET /\xc3\xa9 HTTP/1.1"), "400 H1-20"},
	{"H1-20 percent alone", LINE("GET /% HTTP/1.1"), "400 H1-20"},
	{"H1-20 percent, one digit", LINE("GET /%2 HTTP/1.1"), "400 H1-20"},
	{"H1-20 percent, no hex", LINE("GET /%zz HTTP/1.1"), "400 H1-20"},
	{"H1-20 percent, half hex", LINE("GET /%2g HTTP/1.1"), "400 H1-20"},
	{"H1-20 percent in query", LINE("GET /?a=100% HTTP/1.1"), "400 H1-20"},
	{"H1-20 %00", LINE("GET /%00 HTTP/1.1"), "400 H1-20"},
	{"H1-20 %00 in query", LINE("GET /?%00 HTTP/1.1"), "400 H1-20"},
	{"H1-20 %01 is the router's", LINE("GET /%01 HTTP/1.1"), "GET /%01 a"},
	{"H1-20 two slashes", LINE("GET //b HTTP/1.1"), "GET //b a"},
	{"H1-20 browsers' bytes", LINE("GET /a|b[c]{d}?e=f|g HTTP/1.1"), "GET /a|b[c]{d}?e=f|g a"},
};
/* clang-format on */

/* clang-format off */
static const struct h1_row hosts[] = {
	{"H1-21 missing", STR("GET / HTTP/1.1\r\n\r\n"), "400 H1-21"},
	{"H1-21 missing in 1.2", STR("GET / HTTP/1.2\r\nX: 1\r\n\r\n"), "400 H1-21"},
	{"H1-21 two equal", WITH("Host: a\r\n"), "400 H1-21"},
	{"H1-21 two different", WITH("HOST: b\r\n"), "400 H1-21"},
	{"H1-21 two in 1.0", STR("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), "400 H1-21"},
	{"H1-21 comma", HOST("a,b"), "400 H1-21"},
	{"H1-21 comma space", HOST("a, b"), "400 H1-21"},
	{"H1-21 empty", HOST(""), "400 H1-21"},
	{"H1-21 spaces", HOST("   "), "400 H1-21"},
	{"H1-21 userinfo", HOST("u@a"), "400 H1-21"},
	{"H1-21 userinfo with password", HOST("u:p@a"), "400 H1-21"},
	{"H1-21 slash", HOST("a/"), "400 H1-21"},
	{"H1-21 path", HOST("a/b"), "400 H1-21"},
	{"H1-21 URL", HOST("http://a"), "400 H1-21"},
	{"H1-21 backslash", HOST("a\\b"), "400 H1-21"},
	{"H1-21 question mark", HOST("a?"), "400 H1-21"},
	{"H1-21 fragment", HOST("a#"), "400 H1-21"},
	{"H1-21 space", HOST("a b"), "400 H1-21"},
	{"H1-21 tab", HOST("a\tb"), "400 H1-21"},
	{"H1-21 control", HOST("a\x01"), "400 H1-11"},
	{"H1-21 nul", HOST("a\0b"), "400 H1-11"},
	{"H1-21 high byte", HOST("\xc3\xa9.example"), "400 H1-21"},
	{"H1-21 percent", HOST("%61"), "400 H1-21"},
	{"H1-21 star", HOST("*.a"), "400 H1-21"},
	{"H1-21 quote", HOST("\"a\""), "400 H1-21"},
	{"H1-21 empty port", HOST("a:"), "400 H1-21"},
	{"H1-21 port zero", HOST("a:0"), "400 H1-21"},
	{"H1-21 port 65536", HOST("a:65536"), "400 H1-21"},
	{"H1-21 port 99999", HOST("a:99999"), "400 H1-21"},
	{"H1-21 port of six digits", HOST("a:100000"), "400 H1-21"},
	{"H1-21 port with leading zero", HOST("a:080"), "400 H1-21"},
	{"H1-21 port letters", HOST("a:http"), "400 H1-21"},
	{"H1-21 port negative", HOST("a:-1"), "400 H1-21"},
	{"H1-21 port plus", HOST("a:+80"), "400 H1-21"},
	{"H1-21 port with space", HOST("a: 80"), "400 H1-21"},
	{"H1-21 two ports", HOST("a:80:80"), "400 H1-21"},
	{"H1-21 only a port", HOST(":80"), "400 H1-21"},
	{"H1-21 bare IPv6", HOST("::1"), "400 H1-21"},
	{"H1-21 bare long IPv6", HOST("2001:db8::1"), "400 H1-21"},
	{"H1-21 IPv6 open bracket", HOST("[::1"), "400 H1-21"},
	{"H1-21 IPv6 empty brackets", HOST("[]"), "400 H1-21"},
	{"H1-21 IPv6 rubbish", HOST("[a]"), "400 H1-21"},
	{"H1-21 IPv6 zone", HOST("[fe80::1%25eth0]"), "400 H1-21"},
	{"H1-21 IPv6 and text", HOST("[::1]a"), "400 H1-21"},
	{"H1-21 IPv6 and dot", HOST("[::1]."), "400 H1-21"},
	{"H1-21 IPvFuture", HOST("[v1.a]"), "400 H1-21"},
	{"H1-21 dot", HOST("."), "400 H1-21"},
	{"H1-21 leading dot", HOST(".a"), "400 H1-21"},
	{"H1-21 two dots", HOST("a..b"), "400 H1-21"},
	{"H1-21 two dots at the end", HOST("a.."), "400 H1-21"},
	{"H1-22 upper case", HOST(" ExAmPlE.COM"), "GET / example.com"},
	{"H1-22 trailing dot", HOST("a.example."), "GET / a.example"},
	{"H1-22 trailing dot and port", HOST("a.example.:8443"), "GET / a.example"},
	{"H1-22 default port", HOST("a:80"), "GET / a"},
	{"H1-22 other port", HOST("a:65535"), "GET / a"},
	{"H1-22 no space", HOST("a"), "GET / a"},
	{"H1-22 spaces around", HOST(" \t a \t"), "GET / a"},
	{"H1-22 underscore", HOST("a_b"), "GET / a_b"},
	{"H1-22 IPv4", HOST("127.0.0.1:80"), "GET / 127.0.0.1"},
	{"H1-22 IPv6", HOST("[::1]"), "GET / [::1]"},
	{"H1-22 IPv6 and port", HOST("[2001:DB8::1]:443"), "GET / [2001:db8::1]"},
	{"H1-23 1.0 without Host", STR("GET / HTTP/1.0\r\n\r\n"), "GET / - !close"},
	{"H1-23 1.0 with Host", STR("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), "GET / a !close"},
	{"H1-23 1.0 with a bad Host", STR("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), "400 H1-21"},
	{"H1-23 1.0 with an empty Host", STR("GET / HTTP/1.0\r\nHost:\r\n\r\n"), "400 H1-21"},
};
/* clang-format on */

/* clang-format off */
static const struct h1_row connections[] = {
	{"H1-31 two", STR(GET "\r\n" GET "\r\n"), "GET / a | GET / a"},
	{"H1-31 good + bad", STR(GET "\r\n" "GET / HTTP/1.1\r\n\r\n"), "GET / a | 400 H1-21"},
	{"H1-31 body then request", STR("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" GET "\r\n"), "POST / a =x | GET / a"},
	{"H1-31 bytes behind the length", STR("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx  "), "POST / a =x | 400 H1-14"},
	{"H1-31 chunks then request", STR("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET "\r\n"), "POST / a | GET / a"},
	{"H1-32 close", WITH("Connection: close\r\n"), "GET / a !close"},
	{"H1-32 close in capitals", WITH("CONNECTION: CLOSE\r\n"), "GET / a !close"},
	{"H1-32 close in a list", WITH("Connection: x, close ,y\r\n"), "GET / a !close"},
	{"H1-32 close in a second field", WITH("Connection: x\r\nConnection: close\r\n"), "GET / a !close"},
	{"H1-32 close and keep-alive", WITH("Connection: keep-alive, close\r\n"), "GET / a !close"},
	{"H1-32 closed is another token", WITH("Connection: closed\r\n"), "GET / a"},
	{"H1-32 keep-alive in 1.1", WITH("Connection: keep-alive\r\n"), "GET / a"},
	{"H1-32 keep-alive in 1.0", STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), "GET / -"},
	{"H1-32 Proxy-Connection is nothing", STR("GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n"), "GET / - !close"},
	{"H1-33 websocket", WITH("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n"), "GET / a sec-websocket-key:k !upgrade"},
	{"H1-33 any case, in a list", WITH("Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n"), "GET / a !upgrade"},
	{"H1-33 bytes behind are a request", STR(GET "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" GET "\r\n"), "GET / a !upgrade | GET / a"},
	{"H1-34 h2c", WITH("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"), "GET / a"},
	{"H1-34 h2c with websocket", WITH("Connection: upgrade\r\nUpgrade: h2c, websocket\r\n"), "GET / a"},
	{"H1-34 two fields", WITH("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n"), "GET / a"},
	{"H1-34 unknown", WITH("Connection: upgrade\r\nUpgrade: x/1\r\n"), "GET / a"},
	{"H1-34 not in Connection", WITH("Upgrade: websocket\r\n"), "GET / a"},
	{"H1-34 in 1.0", STR("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), "GET / - !close"},
	{"H1-34 with a body", POST("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", "a"), "POST / a =a"},
	{"H1-34 with a body on GET", STR(GET "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na"), "GET / a =a"},
	{"H1-34 and close", WITH("Connection: upgrade, close\r\nUpgrade: websocket\r\n"), "GET / a !close"},
	{"H1-35 named", WITH("X: 1\r\nY: 2\r\nConnection: x\r\n"), "GET / a y:2"},
	{"H1-35 named before it comes", WITH("Connection: X-Secret\r\nx-secret: 1\r\nX-SECRET: 2\r\n"), "GET / a"},
	{"H1-35 hop-by-hop", WITH("Keep-Alive: 1\r\nProxy-Connection: x\r\nTE: gzip\r\nTrailer: x\r\n"), "GET / a"},
	{"H1-35 te trailers", WITH("Connection: te\r\nTE: gzip, trailers\r\n"), "GET / a !te"},
	{"H1-35 Host", WITH("Connection: host\r\n"), "GET / a"},
	{"H1-35 framing", POST("Connection: content-length, transfer-encoding\r\nContent-Length: 1\r\n", "a"), "POST / a =a"},
	{"H1-35 Cookie and Authorization", WITH("Cookie: c\r\nAuthorization: d\r\nConnection: Cookie, Authorization\r\n"), "GET / a cookie:c authorization:d"},
	{"H1-35 forwarding fields", WITH("X-Forwarded-For: 1\r\nForwarded: f\r\nX-Real-IP: 2\r\nVia: v\r\nConnection: X-Forwarded-For, FORWARDED, x-real-ip, via\r\n"), "GET / a x-forwarded-for:1 forwarded:f x-real-ip:2 via:v"},
	{"H1-35 client certificate", WITH("Client-Cert: 1\r\nConnection: client-cert\r\n"), "GET / a client-cert:1"},
	{"H1-35 empty elements", WITH("Connection: ,, ,\r\n"), "GET / a"},
	{"H1-35 not a token", WITH("Connection: a b\r\n"), "400 H1-35"},
	{"H1-35 quoted", WITH("Connection: \"close\"\r\n"), "400 H1-35"},
	{"H1-35 semicolon", WITH("Connection: close;\r\n"), "400 H1-35"},
	{"H1-38 TLS ClientHello", STR("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "400 H1-38"},
	{"H1-38 SSLv2 hello", STR("\x80\x2e\x01"), "400 H1-16"},
	{"H1-38 preface", STR(H1_PREFACE), "505 H1-38"},
	{"H1-38 only its line", STR("PRI * HTTP/2.0\r\n"), "505 H1-38"},
	{"PRI is a method like others", LINE("PRI / HTTP/1.1"), "PRI / a"},
	{"nothing", STR(""), ""},
	{"one byte", STR("G"), "..."},
	{"no end of head", STR(GET), "..."},
};
/* clang-format on */

static void test_fields(void **state)
{
	(void)state;
	h1_check_rows(fields, array_len(fields));
}

static void test_request_lines(void **state)
{
	(void)state;
	h1_check_rows(lines, array_len(lines));
}

static void test_hosts(void **state)
{
	(void)state;
	h1_check_rows(hosts, array_len(hosts));
}

static void test_connections(void **state)
{
	(void)state;
	h1_check_rows(connections, array_len(connections));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_request_lines),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
