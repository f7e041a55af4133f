#include "control-plane/acme/staple_question.h"

#include <stdlib.h>

#include "common/core/clock.h"
#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "common/pki/ocsp.h"
#include "control-plane/acme/backoff.h"
#include "control-plane/acme/url.h"

/* RFC 5019 section 5: so long a URL may be; what does not fit is posted. */
enum { GET_MAX = 255 };
enum { REFRESH_MIN_S = 60, RETRY_AFTER_MAX_MS = 86400 * 1000 };

static const char *const result_names[STAPLE_RESULTS] = {
	[STAPLE_RESULT_GOOD] = "good",
	[STAPLE_RESULT_REVOKED] = "revoked",
	[STAPLE_RESULT_UNKNOWN] = "unknown",
	[STAPLE_RESULT_REFUSED] = "refused",
	[STAPLE_RESULT_INVALID] = "invalid",
	[STAPLE_RESULT_DENIED] = "denied",
	[STAPLE_RESULT_UNREACHABLE] = "unreachable",
	[STAPLE_RESULT_STATUS] = "http_status",
	[STAPLE_RESULT_TOO_LONG] = "too_long",
};

const char *staple_result_name(enum staple_result r)
{
	return result_names[r];
}

/* --- what is asked --- */

static int add_escaped(struct buf *out, struct str text, struct err *e)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		int rc = c == '+' || c == '/' || c == '='
				 ? buf_addf(out, e, "%%%02X", (unsigned)(unsigned char)c)
				 : buf_add(out, &c, 1, e);

		if (rc != 0)
			return -1;
	}
	return 0;
}

/* RFC 6960 appendix A.1: the request behind the responder's path. */
static int put_in_url(struct staple_question *q, struct err *e)
{
	struct buf text = BUF_INIT;
	struct str at = str_from(q->responder);
	int rc = base64_encode(&text, buf_str(&q->request), e);

	if (rc == 0)
		rc = buf_addf(&q->url, e, "%s%s", q->responder, str_ends(at, STR("/")) ? "" : "/");
	if (rc == 0)
		rc = add_escaped(&q->url, buf_str(&text), e);
	buf_deinit(&text);
	return rc;
}

static int make_request(struct staple_question *q, struct err *e)
{
	struct str at = str_from(q->responder);

	if (ocsp_request(&q->request, q->leaf, q->issuer, e) != 0 || put_in_url(q, e) != 0)
		return -1;
	q->post = q->url.len > GET_MAX || str_find(at, '?', 0) < at.len;
	if (!q->post)
		return 0;
	buf_clear(&q->url);
	return buf_add_str(&q->url, at, e);
}

/* One that does not hold counts as none. */
static int look_at_stored(struct staple_question *q, struct str stored, struct err *e)
{
	struct staple_answer a;
	struct buf der = BUF_INIT;

	buf_init(&der, STAPLE_MAX);
	if (stored.len > 0 && q->issuer && base64_decode(&der, stored, e) == 0 &&
	    staple_read(buf_str(&der), q->leaf, q->issuer, &a, e) == 0 && a.status == STAPLE_GOOD) {
		q->from = a.from;
		q->until = a.until;
	}
	buf_deinit(&der);
	if (e && e->kind == ERR_MEMORY)
		return -1;
	err_clear(e);
	return 0;
}

static int read_chain(struct staple_question *q, const struct pem_blocks *chain, struct err *e)
{
	if (chain->count == 0)
		return err_set(e, ERR_INVALID, "there is no certificate");
	if (cert_from_der(&q->leaf, buf_str(&chain->items[0].der), e) != 0)
		return -1;
	return chain->count > 1 ? cert_from_der(&q->issuer, buf_str(&chain->items[1].der), e) : 0;
}

int staple_question_make(struct staple_question *q, struct str pem, struct str stored,
			 struct err *e)
{
	struct pem_blocks *chain = malloc(sizeof(*chain));
	int rc = -1;

	*q = (struct staple_question){.request = BUF_INIT};
	if (!chain)
		return err_memory(e, "a certificate's chain");
	if (pem_parse(chain, pem, e) == 0) {
		rc = read_chain(q, chain, e);
		pem_free(chain);
	}
	free(chain);
	if (rc != 0 || ocsp_uri(q->leaf, &q->responder, e) != 0)
		return -1;
	q->demanded = ocsp_demanded(q->leaf);
	if (look_at_stored(q, stored, e) != 0)
		return -1;
	return q->responder && q->issuer ? make_request(q, e) : 0;
}

void staple_question_free(struct staple_question *q)
{
	X509_free(q->leaf);
	X509_free(q->issuer);
	free(q->responder);
	buf_deinit(&q->request);
	buf_deinit(&q->url);
	*q = (struct staple_question){.request = BUF_INIT};
}

/* --- what came --- */

static enum staple_result judge_failure(const struct err *failed, struct err *e)
{
	if (e)
		*e = *failed;
	return failed->kind == ERR_DENIED  ? STAPLE_RESULT_DENIED
	       : failed->kind == ERR_LIMIT ? STAPLE_RESULT_TOO_LONG
					   : STAPLE_RESULT_UNREACHABLE;
}

enum staple_result staple_question_judge(const struct staple_question *q,
					 const struct staple_reply *r, struct staple_answer *a,
					 struct err *e)
{
	static const enum staple_result results[] = {
		[STAPLE_GOOD] = STAPLE_RESULT_GOOD,
		[STAPLE_REVOKED] = STAPLE_RESULT_REVOKED,
		[STAPLE_UNKNOWN] = STAPLE_RESULT_UNKNOWN,
	};

	if (r->failed->kind != ERR_NONE)
		return judge_failure(r->failed, e);
	if (r->status != 200) {
		err_set(e, ERR_UNAVAILABLE, "the responder answered with HTTP status %u",
			r->status);
		return STAPLE_RESULT_STATUS;
	}
	if (staple_read(r->body, q->leaf, q->issuer, a, e) != 0)
		return a->refused ? STAPLE_RESULT_REFUSED : STAPLE_RESULT_INVALID;
	if (a->status == STAPLE_UNKNOWN)
		err_set(e, ERR_NOT_FOUND, "the responder does not know the certificate");
	return results[a->status];
}

/* --- when --- */

int64_t staple_refresh_s(int64_t from, int64_t until, int64_t now, double by_chance)
{
	int64_t half = from + (until - from) / 2;
	int64_t at = half > now ? half : now + (until - now) / 2;

	at += (int64_t)((double)(until - at) * by_chance / 5);
	return at < now + REFRESH_MIN_S ? now + REFRESH_MIN_S : at;
}

uint64_t staple_retry_ms(unsigned failures, int64_t retry_after_ms, double by_chance)
{
	static const struct backoff pace = {.base_ms = 60000, .cap_ms = 3600000, .factor = 2};
	uint64_t wait = backoff_ms(&pace, failures > 0 ? failures : 1, 1 - by_chance / 5);
	uint64_t asked = retry_after_ms > 0 ? (uint64_t)retry_after_ms : 0;

	if (asked > RETRY_AFTER_MAX_MS)
		asked = RETRY_AFTER_MAX_MS;
	return wait > asked ? wait : asked;
}
