/* Whether a data plane can compile a regular expression: PCRE2 is asked, within limits, so that an
 * operator hears of a mistake when it is made. Pure. Thread: any. */
#ifndef CARDEA_MODEL_REGEX_H
#define CARDEA_MODEL_REGEX_H

#include "common/core/err.h"
#include "common/core/str.h"

/* Bytes of one expression, and how deep its parentheses nest: what compiling one may cost. */
enum { REGEX_LENGTH_MAX = 4096, REGEX_DEPTH_MAX = 250 };

/* ERR_INVALID in Kong's words (kong-admin-api.md 2.5): "invalid regex: '/(a' (PCRE returned:
 * pcre2_compile() failed: missing closing parenthesis in "/(a")", and where, unless at the end. */
int regex_check(struct str pattern, struct err *e) must_check;

#endif
