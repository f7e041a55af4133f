/* The names of one order: DNS names, "*." before some, and IP addresses (RFC 8738) as a set, in one
 * text. Pure. Thread: any.
 *
 * The text has each name once, sorted by bytes, with a space between: equal sets have equal texts.
 * An order's row has the first of them as host, the rest as more. */
#ifndef CARDEA_ACME_NAMES_H
#define CARDEA_ACME_NAMES_H

#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { NAMES_MAX = 100 }; /* of a certificate, as Let's Encrypt and others have it */
enum { NAMES_TEXT_MAX = NAMES_MAX * 254 };

/* Appends the set of n names. ERR_INVALID: one of them is none (acme_name), and is told; ERR_LIMIT:
 * none, or more than NAMES_MAX. */
int names_make(struct buf *out, const struct str *names, size_t n, struct err *e) must_check;
size_t names_count(struct str set);
bool names_has(struct str set, struct str name);
/* Whether one of them begins with "*.". */
bool names_has_wildcard(struct str set);
/* The first; *rest: the others, empty when there are none. */
struct str names_first(struct str set, struct str *rest);

/* What a validation request for a name asks for (RFC 8738 section 6): an address in reverse form,
 * any other name itself. out has NAMES_REVERSE_SIZE bytes at least. */
enum { NAMES_REVERSE_SIZE = 254 };
void names_sni(struct str name, char out[NAMES_REVERSE_SIZE]);

#endif
