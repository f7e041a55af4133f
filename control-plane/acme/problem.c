#include "control-plane/acme/problem.h"

#include <stdarg.h>
#include <stdio.h>

#define SECONDS(n) ((uint64_t)(n)*1000)
#define MINUTES(n) (SECONDS(n) * 60)
#define HOURS(n) (MINUTES(n) * 60)

/* Whose fault it is decides the pace: the CA's is over soon; a host's (DNS, firewall) takes its
 * owner some time and counts against the CA's failed-validation limits; ours takes an operator. */
#define PACE_NOW                                                                                   \
	{                                                                                          \
		SECONDS(1), MINUTES(5), 4                                                          \
	}
#define PACE_CA                                                                                    \
	{                                                                                          \
		SECONDS(4), MINUTES(10), 2                                                         \
	}
#define PACE_HOST                                                                                  \
	{                                                                                          \
		SECONDS(15), HOURS(6), 4                                                           \
	}
#define PACE_OPERATOR                                                                              \
	{                                                                                          \
		MINUTES(1), HOURS(6), 4                                                            \
	}
#define PACE_LIMIT                                                                                 \
	{                                                                                          \
		MINUTES(1), HOURS(6), 2                                                            \
	}

/* First match wins. */
static const struct problem_rule rules[] = {
	{PROBLEM_ACME "badNonce", 0, PROBLEM_NEW_NONCE, PACE_CA},
	{PROBLEM_ACME "accountDoesNotExist", 0, PROBLEM_REREGISTER, PACE_CA},
	{PROBLEM_ACME "orderNotReady", 0, PROBLEM_REREAD, PACE_CA},
	{PROBLEM_ACME "rateLimited", 0, PROBLEM_RETRY, PACE_LIMIT},
	{PROBLEM_ACME "serverInternal", 0, PROBLEM_RETRY, PACE_CA},
	{PROBLEM_ACME "userActionRequired", 0, PROBLEM_RETRY, PACE_OPERATOR},
	{PROBLEM_ACME "agreementRequired", 0, PROBLEM_RETRY, PACE_OPERATOR},
	{PROBLEM_ACME "dns", 0, PROBLEM_RESTART, PACE_HOST},
	{PROBLEM_ACME "connection", 0, PROBLEM_RESTART, PACE_HOST},
	{PROBLEM_ACME "tls", 0, PROBLEM_RESTART, PACE_HOST},
	{PROBLEM_ACME "incorrectResponse", 0, PROBLEM_RESTART, PACE_HOST},
	{PROBLEM_ACME "unauthorized", 401, PROBLEM_RETRY, PACE_OPERATOR},
	{PROBLEM_ACME "unauthorized", 0, PROBLEM_RESTART, PACE_HOST},
	{PROBLEM_ACME "caa", 0, PROBLEM_RESTART, PACE_OPERATOR},
	{PROBLEM_ACME "rejectedIdentifier", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_ACME "unsupportedIdentifier", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_ACME "externalAccountRequired", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_ACME "invalidContact", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_ACME "unsupportedContact", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_ACME "badCSR", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_ACME "badPublicKey", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_ACME "badSignatureAlgorithm", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_OWN "connection", 0, PROBLEM_RETRY, PACE_CA},
	{PROBLEM_OWN "account", 0, PROBLEM_RETRY, PACE_CA},
	{PROBLEM_OWN "barrier", 0, PROBLEM_RETRY, PACE_CA},
	{PROBLEM_OWN "internal", 0, PROBLEM_RETRY, PACE_CA},
	{PROBLEM_OWN "gone", 0, PROBLEM_RESTART, PACE_NOW},
	{PROBLEM_OWN "timeout", 0, PROBLEM_RESTART, PACE_HOST},
	{PROBLEM_OWN "denied", 0, PROBLEM_RETRY, PACE_OPERATOR},
	{PROBLEM_OWN "certificate", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_OWN "challenge", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{PROBLEM_OWN "sni", 0, PROBLEM_FAIL, PACE_OPERATOR},
	{NULL, 404, PROBLEM_RESTART, PACE_NOW},
	{NULL, 410, PROBLEM_RESTART, PACE_NOW},
	{NULL, 429, PROBLEM_RETRY, PACE_LIMIT},
	{NULL, 408, PROBLEM_RETRY, PACE_CA},
	{NULL, 500, PROBLEM_RETRY, PACE_CA},
	{PROBLEM_ACME "malformed", 0, PROBLEM_RESTART, PACE_OPERATOR},
	{PROBLEM_OWN "answer", 0, PROBLEM_RETRY, PACE_CA},
	{NULL, 0, PROBLEM_RESTART, PACE_OPERATOR},
};

static bool rule_matches(const struct problem_rule *r, const struct problem *p)
{
	if (r->type && !str_eq(str_from(r->type), str_from(p->type)))
		return false;
	if (r->status == 500)
		return p->status >= 500 && p->status <= 599;
	return r->status == 0 || r->status == p->status;
}

const struct problem_rule *problem_rule(const struct problem *p)
{
	size_t i = 0;

	while (i + 1 < array_len(rules) && !rule_matches(&rules[i], p))
		i++;
	return &rules[i];
}

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
