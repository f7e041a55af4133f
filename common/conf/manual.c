#include "common/conf/manual.h"

#include <ctype.h>
#include <inttypes.h>

void manual_text(FILE *out, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\\')
			fputs("\\e", out);
		else if (*p == '-')
			fputs("\\-", out);
		else if (*p == '`')
			fputs("\\(ga", out);
		else if (*p == '\'')
			fputs("\\(aq", out);
		else if (*p == '"')
			fputs("\\(dq", out);
		/* A word that begins with it is punctuation to a macro, or a request to roff. */
		else if ((p == text || p[-1] == ' ') && strchr("|.,:;()[]?!", *p))
			fprintf(out, "\\&%c", *p);
		else
			fputc(*p, out);
	}
}

void manual_sentence(FILE *out, const char *text)
{
	size_t n = strlen(text);
	char rest[512];

	if (n == 0)
		return;
	snprintf(rest, sizeof(rest), "%s", text + 1);
	fprintf(out, "\\&%c", toupper((unsigned char)text[0]));
	manual_text(out, rest);
	fputs(strchr(".:", text[n - 1]) ? "\n" : ".\n", out);
}

static void print_range(FILE *out, const struct conf_key *key)
{
	if (key->min || key->max)
		fprintf(out, "From %" PRId64 " to %" PRId64 "%s.\n", key->min, key->max,
			key->type == CONF_DURATION ? " ms"
			: key->type == CONF_SIZE   ? " bytes"
						   : "");
}

static void print_choices(FILE *out, const struct conf_key *key)
{
	fputs("One of", out);
	for (size_t i = 0; key->choices[i]; i++) {
		fputs(i ? ", " : " ", out);
		manual_text(out, key->choices[i]);
	}
	fputs(".\n", out);
}

void manual_keys(FILE *out, const struct conf_key *keys, size_t n)
{
	static const char *const types[] = {
		[CONF_STRING] = "text",	  [CONF_SECRET] = "secret", [CONF_PATH] = "path",
		[CONF_BOOL] = "on|off",	  [CONF_INT] = "number",    [CONF_SIZE] = "size",
		[CONF_DURATION] = "time", [CONF_ENUM] = "word",	    [CONF_LISTEN] = "addresses",
	};

	for (size_t i = 0; i < n; i++) {
		fprintf(out, ".It Ic %s No = Ar ", keys[i].name);
		manual_text(out, types[keys[i].type]);
		fputc('\n', out);
		manual_sentence(out, keys[i].help);
		if (keys[i].choices)
			print_choices(out, &keys[i]);
		print_range(out, &keys[i]);
		if (!keys[i].fallback || !keys[i].fallback[0])
			continue;
		fputs("Default:\n.Ql ", out);
		manual_text(out, keys[i].fallback);
		fputs(" .\n", out);
	}
}
