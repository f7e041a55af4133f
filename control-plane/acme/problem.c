#include "control-plane/acme/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUBPROBLEMS_MAX = 100 };

/* Copies outside text: control bytes become spaces, what does not fit is cut before a UTF-8
 * character. */
static void copy_text(char *out, size_t size, const char *text)
{
	size_t n = strlen(text);

	if (n >= size) {
		n = size - 1;
		while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
			n--;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7F ? ' ' : text[i];
	out[n] = '\0';
}

/* Where a text names the address to unpause a name at; NULL: nowhere. */
static const char *find_unpause(const char *text)
{
	const char *at = text, *found = NULL;

	while (at && (at = strstr(at, "https://")) != NULL) {
		size_t len = strcspn(at, " \t\r\n\"<>");

		if (memmem(at, len, "unpause", 7))
			found = at;
		at += len;
	}
	return found;
}

/* It holds a token, so that it is shown in one place and not logged. */
static void cut_unpause(char *detail)
{
	char *at = strstr(detail, "https://");

	/* Perhaps cut already, before its path. */
	if (at && (find_unpause(detail) || strstr(detail, "temporarily prevented")))
		snprintf(at, strlen(at) + 1, "%s", strlen(at) > 3 ? "..." : "");
}

bool problem_from_json(struct problem *p, const json_t *value)
{
	const char *type = json_string_value(json_object_get(value, "type"));
	const char *detail = json_string_value(json_object_get(value, "detail"));
	json_int_t status = json_integer_value(json_object_get(value, "status"));

	if (!type || !type[0])
		return false;
	/* Names of before the RFC, still seen. */
	if (str_starts(str_from(type), STR("urn:acme:error:")))
		snprintf(p->type, sizeof(p->type), "%s%.60s", PROBLEM_ACME, type + 15);
	else
		copy_text(p->type, sizeof(p->type), type);
	copy_text(p->detail, sizeof(p->detail), detail ? detail : "");
	cut_unpause(p->detail);
	p->status = status > 0 && status < 1000 ? (unsigned)status : 0;
	p->retry_after_ms = RETRY_AFTER_NONE;
	return true;
}

void problem_from_answer(struct problem *p, unsigned status, struct str body,
			 int64_t retry_after_ms)
{
	json_t *o = body.len ? json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (!problem_from_json(p, o))
		problem_own(p, "answer", "the CA answered with status %u and no problem document",
			    status);
	/* The status line is what happened; the document may lie or say nothing. */
	p->status = status;
	p->retry_after_ms = retry_after_ms;
	json_decref(o);
}

void problem_help_deinit(struct problem_help *h)
{
	free(h->url);
	h->url = NULL;
	h->unpause = false;
}

/* Somebody is to open it in a browser: nothing but https and what an URL consists of. */
static char *help_url(const char *text)
{
	size_t len = text ? strcspn(text, " \t\r\n\"<>") : 0;

	if (len == 0 || len > HELP_URL_MAX || !str_starts((struct str){text, len}, STR("https://")))
		return NULL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7F)
			return NULL;
	return str_dup((struct str){text, len});
}

void problem_help(struct problem_help *out, struct str body)
{
	json_t *o = body.len ? json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *detail = json_string_value(json_object_get(o, "detail"));
	const char *unpause = detail ? find_unpause(detail) : NULL;

	problem_help_deinit(out);
	out->url = help_url(unpause ? unpause : json_string_value(json_object_get(o, "instance")));
	out->unpause = unpause && out->url;
	json_decref(o);
}

static json_t *shown_subproblem(const json_t *value)
{
	const json_t *who = json_object_get(value, "identifier");
	const char *kind = json_string_value(json_object_get(who, "type"));
	const char *name = json_string_value(json_object_get(who, "value"));
	struct problem p;
	char text[256];

	if (!problem_from_json(&p, value) || !kind || !name)
		return NULL;
	copy_text(text, sizeof(text), name);
	return json_pack("{s:s, s:s, s:o, s:{s:s, s:s}}", "type", p.type, "detail", p.detail,
			 "status", p.status ? json_integer(p.status) : json_null(), "identifier",
			 "type", str_eq(str_from(kind), STR("ip")) ? "ip" : "dns", "value", text);
}

json_t *problem_subproblems(struct str body)
{
	json_t *o = body.len ? json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const json_t *list = json_object_get(o, "subproblems"), *one;
	json_t *out = json_array_size(list) > 0 ? json_array() : NULL;
	size_t i;

	json_array_foreach(list, i, one)
	{
		json_t *shown = i < SUBPROBLEMS_MAX ? shown_subproblem(one) : NULL;

		if (out && shown)
			(void)json_array_append(out, shown);
		json_decref(shown);
	}
	json_decref(o);
	return out;
}

void problem_own(struct problem *p, const char *kind, const char *fmt, ...)
{
	va_list ap;

	memset(p, 0, sizeof(*p));
	snprintf(p->type, sizeof(p->type), "%s%s", PROBLEM_OWN, kind);
	va_start(ap, fmt);
	vsnprintf(p->detail, sizeof(p->detail), fmt, ap);
	va_end(ap);
	p->retry_after_ms = RETRY_AFTER_NONE;
}

void problem_from_err(struct problem *p, const char *kind, const struct err *e)
{
	problem_own(p, e->kind == ERR_DENIED ? "denied" : kind, "%s", e->message);
}

bool problem_is_own(const struct problem *p)
{
	return str_starts(str_from(p->type), STR(PROBLEM_OWN));
}

bool problem_is_acme(const struct problem *p, const char *name)
{
	struct str type = str_from(p->type);

	return str_starts(type, STR(PROBLEM_ACME)) &&
	       str_eq(str_sub(type, sizeof(PROBLEM_ACME) - 1, type.len), str_from(name));
}

json_t *problem_json(const struct problem *p, int64_t at_s)
{
	return json_pack("{s:s, s:s, s:o, s:I}", "type", p->type, "detail", p->detail, "status",
			 p->status ? json_integer(p->status) : json_null(), "at", (json_int_t)at_s);
}
