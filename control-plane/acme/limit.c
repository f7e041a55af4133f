#include "control-plane/acme/limit.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <time.h>

#include "common/core/codec.h"

#define HOURS(n) ((n)*3600.0)
#define DAYS(n) ((n)*86400.0)

enum { VALUE_MAX = 255 };

struct limit_row {
	const char *name;
	struct limit preset; /* Let's Encrypt's, as documented in August 2026 */
};

static const struct limit_row rows[LIMITS] = {
	[LIMIT_ACCOUNT] = {"account", {HOURS(3) / 300, 300}},
	[LIMIT_DOMAIN] = {"domain", {DAYS(7) / 50, 50}},
	[LIMIT_SET] = {"set", {DAYS(7) / 5, 5}},
	[LIMIT_FAILURE] = {"failure", {HOURS(1) / 5, 5}},
	[LIMIT_NEW_ACCOUNT] = {"new_account", {HOURS(3) / 10, 10}},
	[LIMIT_NEW_ORDER] = {"new_order", {1.0 / 300, 200}},
	[LIMIT_REQUEST] = {"request", {1.0 / 250, 125}},
	[LIMIT_NEW_NONCE] = {"new_nonce", {1.0 / 20, 10}},
};

const char *limit_name(enum limit_kind k)
{
	return (unsigned)k < LIMITS ? rows[k].name : "?";
}

/* --- configuration --- */

static int read_time(struct str text, double *seconds)
{
	static const char units[] = "smhd";
	static const double sizes[] = {1, 60, HOURS(1), DAYS(1)};
	const char *unit = text.len ? strchr(units, text.ptr[text.len - 1]) : NULL;
	uint64_t n = 0;

	if (!unit || !*unit || str_u64(str_sub(text, 0, text.len - 1), &n) != 0 || n == 0 ||
	    n > 1000000)
		return -1;
	*seconds = (double)n * sizes[unit - units];
	return 0;
}

int limit_read(struct limit *out, struct str text)
{
	size_t slash = str_find(text, '/', 0), colon = str_find(text, ':', 0);
	uint64_t n = 0, burst = 0;
	double seconds = 0;

	if (str_u64(str_sub(text, 0, slash), &n) != 0 || n > 1000000000)
		return -1;
	if (n == 0) {
		*out = (struct limit){0, 0};
		return 0;
	}
	if (slash >= text.len || read_time(str_sub(text, slash + 1, colon), &seconds) != 0)
		return -1;
	burst = n;
	if (colon < text.len && (str_u64(str_sub(text, colon + 1, text.len), &burst) != 0 ||
				 burst == 0 || burst > 1000000000))
		return -1;
	*out = (struct limit){seconds / (double)n, (unsigned)burst};
	return 0;
}

static int read_setting(struct limits *out, struct str word, struct err *e)
{
	size_t equals = str_find(word, '=', 0);

	for (size_t k = 0; k < LIMITS && equals < word.len; k++) {
		if (!str_eq(str_sub(word, 0, equals), str_from(rows[k].name)))
			continue;
		if (limit_read(&out->of[k], str_sub(word, equals + 1, word.len)) == 0)
			return 0;
		return err_set(e, ERR_INVALID,
			       "%s must be N/TIME or N/TIME:BURST, as in 300/3h or 250/1s:125",
			       rows[k].name);
	}
	return err_set(e, ERR_INVALID,
		       "%.*s: expected auto, letsencrypt, none, or a limit (account, domain, set, "
		       "failure, new_account, new_order, request, new_nonce) as in account=300/3h",
		       (int)(word.len < 60 ? word.len : 60), word.ptr);
}

static void preset(struct limits *out)
{
	for (size_t k = 0; k < LIMITS; k++)
		out->of[k] = rows[k].preset;
}

static bool is_lets_encrypt(const char *directory)
{
	return str_starts(str_from(directory), STR("https://acme-v02.api.letsencrypt.org/"));
}

int limits_parse(struct limits *out, struct str text, const char *directory, struct err *e)
{
	struct limits l = {.of = {{0, 0}}};
	struct str rest = text, word;

	if (is_lets_encrypt(directory))
		preset(&l);
	while (str_split(&rest, ' ', &word)) {
		if (word.len == 0 || str_eq(word, STR("auto")))
			continue;
		if (str_eq(word, STR("letsencrypt")))
			preset(&l);
		else if (str_eq(word, STR("none")))
			l = (struct limits){.of = {{0, 0}}};
		else if (read_setting(&l, word, e) != 0)
			return -1;
	}
	*out = l;
	return 0;
}

/* --- the CA's words --- */

static size_t find(struct str s, const char *text)
{
	const char *at = s.len ? memmem(s.ptr, s.len, text, strlen(text)) : NULL;

	return at ? (size_t)(at - s.ptr) : s.len;
}

static bool says(struct str s, const char *text)
{
	return find(s, text) < s.len;
}

/* The first text in double quotes after `after`; "" when there is none or it is too long. */
static void quoted(char out[256], struct str s, const char *after)
{
	size_t from = str_find(s, '"', find(s, after)), to = str_find(s, '"', from + 1);
	size_t len = from < s.len && to < s.len ? to - from - 1 : 0;

	if (len >= 256)
		len = 0;
	for (size_t i = 0; i < len; i++)
		out[i] = ascii_lower(s.ptr[from + 1 + i]);
	out[len] = '\0';
}

static int64_t read_until(struct str s)
{
	static const char before[] = "retry after ";
	size_t at = find(s, before);
	struct tm tm = {.tm_isdst = 0};
	char text[24] = "";
	const char *end;

	if (at + sizeof(before) - 1 + 19 > s.len)
		return 0;
	memcpy(text, s.ptr + at + sizeof(before) - 1, 19);
	end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	return end && !*end ? (int64_t)timegm(&tm) : 0;
}

struct words {
	const char *said;
	enum limit_kind kind;
	bool quotes; /* the name or domain comes in quotes behind them */
};

/* First match wins; the first four are Boulder's words, the others what older releases and other
 * authorities say. */
static const struct words words[] = {
	{"exact set", LIMIT_SET, false},
	{"failed authorizations", LIMIT_FAILURE, true},
	{"already issued for", LIMIT_DOMAIN, true},
	{"new orders", LIMIT_ACCOUNT, false},
	{"new registrations", LIMIT_NEW_ACCOUNT, false},
	{"registered domain", LIMIT_DOMAIN, true},
	{"registrations for this IP", LIMIT_NEW_ACCOUNT, false},
	{"per account", LIMIT_ACCOUNT, false},
	{"this account", LIMIT_ACCOUNT, false},
	{"IP address", LIMIT_REQUEST, false},
};

bool limit_read_detail(struct limit_named *out, struct str detail)
{
	for (size_t i = 0; i < array_len(words); i++) {
		if (!says(detail, words[i].said))
			continue;
		out->kind = words[i].kind;
		out->value[0] = '\0';
		if (words[i].quotes)
			quoted(out->value, detail, words[i].said);
		out->until_s = read_until(detail);
		return true;
	}
	out->until_s = read_until(detail);
	return false;
}

/* --- keys --- */

static int add_hash(struct buf *out, struct str value, struct err *e)
{
	unsigned char digest[32];

	if (EVP_Digest(value.ptr, value.len, digest, NULL, EVP_sha256(), NULL) != 1)
		return err_openssl(e, ERR_INTERNAL, "SHA-256 failed");
	return base64url_encode(out, (struct str){(char *)digest, sizeof(digest)}, e);
}

int limit_key(struct buf *out, enum limit_kind k, struct str value, const char *directory,
	      struct err *e)
{
	if (buf_addf(out, e, "%s ", limit_name(k)) != 0)
		return -1;
	if (value.len > VALUE_MAX ? add_hash(out, value, e) != 0 : buf_add_str(out, value, e) != 0)
		return -1;
	return buf_addf(out, e, " %s", directory);
}
