/* Whether a regular expression in the syntax of PCRE is well formed: what an operator mistypes,
 * found before a data plane compiles it. Pure, linear in the text. Thread: any. */
#ifndef CARDEA_MODEL_REGEX_H
#define CARDEA_MODEL_REGEX_H

#include "common/core/err.h"
#include "common/core/str.h"

/* ERR_INVALID says what is wrong and at which byte: groups and classes that do not close, a
 * quantifier after nothing or with its numbers swapped, a backslash at the end, unknown groups. */
int regex_check(struct str pattern, struct err *e) must_check;

#endif
