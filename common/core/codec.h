/* Small text encodings: base64 (RFC 4648, with and without padding), hexadecimal, UUIDs. Thread:
 * any. */
#ifndef CARDEA_CORE_CODEC_H
#define CARDEA_CORE_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Appends. Standard alphabet with padding; url: RFC 4648 section 5 without padding (JOSE). */
int base64_encode(struct buf *out, struct str in, struct err *e) must_check;
int base64url_encode(struct buf *out, struct str in, struct err *e) must_check;
/* Appends. Strict: no white space, right padding, no stray bits. ERR_INVALID names the offset. */
int base64_decode(struct buf *out, struct str in, struct err *e) must_check;
int base64url_decode(struct buf *out, struct str in, struct err *e) must_check;
/* Appends lower-case digits. */
int hex_encode(struct buf *out, struct str in, struct err *e) must_check;
int hex_decode(struct buf *out, struct str in, struct err *e) must_check;

/* Text form 8-4-4-4-12 with a NUL. */
enum { UUID_TEXT_SIZE = 37 };
/* A random (version 4) UUID in lower case. */
int uuid_make(char out[UUID_TEXT_SIZE], struct err *e) must_check;
/* Kong's rule: any hex digits in the 8-4-4-4-12 shape, any case. */
bool uuid_is(struct str s);
/* The 16 bytes of a text that uuid_is accepts. */
void uuid_bytes(struct str s, unsigned char out[16]);
void uuid_text(const unsigned char in[16], char out[UUID_TEXT_SIZE]);

#endif
