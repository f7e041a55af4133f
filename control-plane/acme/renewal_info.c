#include "control-plane/acme/renewal_info.h"

#include <jansson.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "control-plane/acme/message.h"

enum { BACKSTOP = 20 }; /* the last such part of a lifetime is never waited for */
enum { POLLS_PER_LIFE = 10 };
static const int64_t poll_min_ms = 60 * INT64_C(1000);
static const int64_t poll_max_ms = 24 * 3600 * INT64_C(1000);
static const int64_t poll_default_ms = 6 * 3600 * INT64_C(1000);

int renewal_id(char out[RENEWAL_ID_SIZE], X509 *leaf, struct err *e)
{
	const ASN1_OCTET_STRING *issuer = X509_get0_authority_key_id(leaf);
	const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
	unsigned char *der = NULL;
	struct buf text = BUF_INIT;
	int len = serial ? i2d_ASN1_INTEGER(serial, &der) : -1;
	int rc = -1;

	/* Serial numbers are short: the length of the DER is one byte. */
	if (!issuer || len < 3 || len > 2 + 127) {
		err_set(e, ERR_INVALID, "a certificate without authority key identifier or serial");
	} else if (base64url_encode(&text,
				    (struct str){(const char *)ASN1_STRING_get0_data(issuer),
						 (size_t)ASN1_STRING_length(issuer)},
				    e) == 0 &&
		   buf_add(&text, ".", 1, e) == 0 &&
		   base64url_encode(&text, (struct str){(const char *)der + 2, (size_t)len - 2},
				    e) == 0) {
		if (text.len < RENEWAL_ID_SIZE)
			rc = snprintf(out, RENEWAL_ID_SIZE, "%s", text.data) < 0 ? -1 : 0;
		else
			err_set(e, ERR_INVALID, "a certificate's identifiers are too long");
	}
	OPENSSL_free(der);
	buf_deinit(&text);
	return rc;
}

static int read_time(int64_t *out, const json_t *window, const char *name, struct err *e)
{
	const char *text = json_string_value(json_object_get(window, name));

	if (!text || clock_parse_rfc3339(str_from(text), out, e) != 0)
		return err_set(e, ERR_INVALID, "suggestedWindow has no time \"%s\"", name);
	return 0;
}

/* Shown to operators as a link: https, and printable. */
static void read_explanation(struct renewal_window *w, const json_t *o)
{
	struct str url = str_from(json_string_value(json_object_get(o, "explanationURL")));

	if (!str_starts(url, STR("https://")) || url.len >= sizeof(w->explanation))
		return;
	for (size_t i = 0; i < url.len; i++)
		if (url.ptr[i] <= ' ' || url.ptr[i] > '~')
			return;
	memcpy(w->explanation, url.ptr, url.len);
	w->explanation[url.len] = '\0';
}

int renewal_read(struct renewal_window *out, struct str body, struct err *e)
{
	struct renewal_window w = {.explanation = ""};
	json_t *o = body.len > 0 && body.len <= ACME_DOCUMENT_MAX
			    ? json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, NULL)
			    : NULL;
	const json_t *window = json_object_get(o, "suggestedWindow");
	int rc = -1;

	if (!json_is_object(window)) {
		err_set(e, ERR_INVALID, "renewal information without suggestedWindow");
	} else if (read_time(&w.start_s, window, "start", e) == 0 &&
		   read_time(&w.end_s, window, "end", e) == 0) {
		if (w.end_s < w.start_s)
			err_set(e, ERR_INVALID, "suggestedWindow ends before it starts");
		else
			rc = 0;
	}
	if (rc == 0) {
		read_explanation(&w, o);
		*out = w;
	}
	json_decref(o);
	return rc;
}

int64_t renewal_when_ms(const struct renewal_window *w, const struct renewal_life *l, int64_t now_s,
			double chance)
{
	int64_t life = l->not_after_s - l->not_before_s;
	int64_t last = l->not_after_s - life / BACKSTOP;
	int64_t start = w->start_s, end = w->end_s;

	if (start <= l->not_before_s && end >= l->not_after_s)
		return RENEWAL_NO_OPINION;
	if (end <= now_s)
		return now_s * 1000;
	if (end > last)
		end = last;
	if (start > end)
		start = end;
	return start * 1000 + (int64_t)((double)(end - start) * 1000 * chance);
}

int64_t renewal_poll_ms(int64_t retry_after_ms, const struct renewal_life *l)
{
	int64_t ms = retry_after_ms < 0 ? poll_default_ms : retry_after_ms;
	int64_t most = (l->not_after_s - l->not_before_s) * 1000 / POLLS_PER_LIFE;

	if (ms < poll_min_ms)
		ms = poll_min_ms;
	if (ms > poll_max_ms)
		ms = poll_max_ms;
	if (ms > most)
		ms = most;
	return ms < 1000 ? 1000 : ms;
}
