/* Regular expressions, compiled for what PCRE2 says of them. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "control-plane/model/regex.h"

#include <pcre2.h>

enum { REASON_SIZE = 128 }; /* PCRE2's own texts are shorter */

static int refuse(struct str pattern, int code, size_t at, struct err *e)
{
	PCRE2_UCHAR reason[REASON_SIZE] = "";
	struct str rest = str_sub(pattern, at, pattern.len);
	const char *where = rest.len ? " at \"" : "";

	if (code == PCRE2_ERROR_HEAP_FAILED)
		return err_memory(e, "compiling a regular expression");
	pcre2_get_error_message(code, reason, sizeof(reason));
	return err_set(e, ERR_INVALID,
		       "invalid regex: '%.*s' (PCRE returned: pcre2_compile() failed: %s in "
		       "\"%.*s\"%s%.*s%s)",
		       (int)pattern.len, pattern.ptr, (const char *)reason, (int)pattern.len,
		       pattern.ptr, where, (int)rest.len, rest.ptr, rest.len ? "\"" : "");
}

int regex_check(struct str pattern, struct err *e)
{
	pcre2_compile_context *limits = pcre2_compile_context_create(NULL);
	pcre2_code *compiled;
	int code = 0;
	size_t at = 0;

	if (!limits)
		return err_memory(e, "compiling a regular expression");
	pcre2_set_max_pattern_length(limits, REGEX_LENGTH_MAX);
	pcre2_set_parens_nest_limit(limits, REGEX_DEPTH_MAX);
	compiled = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, PCRE2_ANCHORED, &code, &at,
				 limits);
	pcre2_compile_context_free(limits);
	if (!compiled)
		return refuse(pattern, code, at, e);
	pcre2_code_free(compiled);
	return 0;
}
