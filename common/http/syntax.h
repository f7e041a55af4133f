/* Character classes and small grammars of HTTP (RFC 9110, 9112, 3986) that HTTP/1 and HTTP/2 share.
 * Pure. Thread: any. */
#ifndef CARDEA_HTTP_SYNTAX_H
#define CARDEA_HTTP_SYNTAX_H

#include <stdbool.h>

#include "common/core/str.h"

/* The lower-case form of a byte that may stand in a token, 0 for every other byte. */
extern const unsigned char http_token_lower[256];

/* token: 1*tchar (RFC 9110 5.6.2). */
bool http_is_token(struct str s);
/* No control byte but HTAB, no DEL; bytes from 0x80 are fine (RFC 9110 5.5, H1-11, H1-12). */
bool http_is_field_value(struct str s);
/* The bytes of a request target or :path (H1-20): visible ASCII without '#' and '"', every '%'
 * followed by two hex digits that are not 00. The form (origin, absolute, ...) is not looked at. */
bool http_is_target(struct str s);
/* Host, :authority (H1-21): a name of letters, digits, '-', '_' and inner dots (one dot more at its
 * end is fine), or an IPv6 address in brackets, up to 255 bytes; then optionally ':' and a port
 * 1..65535. *host: the part before the port without a dot at its end, as spelled. */
bool http_is_authority(struct str s, struct str *host);
/* What may follow a chunk size (RFC 9112 7.1.1), from the first ';' on. */
bool http_is_chunk_extensions(struct str s);
/* RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF. */
bool http_is_utf8(struct str s);
/* Replaces every %XX, and '+' by a space when plus is set; out has room for s.len bytes, *n of them
 * are used. False on a bad %XX, NUL, or a result that is not UTF-8. */
bool http_unescape(char *out, struct str s, bool plus, size_t *n);
/* Whether a comma-separated list has this token, any case. */
bool http_list_has(struct str list, struct str token);
/* Fields that belong to one connection: Connection, Keep-Alive, Proxy-Connection, TE, Trailer,
 * Transfer-Encoding, Upgrade, HTTP2-Settings. Any case. */
bool http_is_hop_by_hop(struct str name);
/* Fields (lower case) that Cardea sets or trusts and which a client therefore cannot remove by
 * naming them in Connection (H1-35). */
bool http_is_protected(struct str name);
/* Lower-case names that spell with '_' what Cardea sets, trusts or uses for framing with '-'
 * (H1-07, TR-03): such fields are dropped. */
bool http_is_alias(struct str name);
/* Fields (lower case) that may not come in trailers (H1-29). */
bool http_is_forbidden_trailer(struct str name);

#endif
