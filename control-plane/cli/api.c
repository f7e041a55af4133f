#include "control-plane/cli/api.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <unistd.h>

enum { MESSAGE_SHOWN = 200 };

struct api {
	CURL *curl;
	struct buf base; /* URL without the slash that may end it */
	struct buf token;
	const char *ca, *cert, *key;
	uint64_t timeout_ms;
	char why[CURL_ERROR_SIZE];
};

/* --- what curl calls --- */

struct receiver {
	const struct api_request *request;
	struct api_answer *answer;
};

static size_t on_bytes(char *bytes, size_t one, size_t n, void *arg)
{
	struct receiver *r = arg;

	if (r->request->on_bytes)
		r->request->on_bytes((struct str){bytes, one * n}, r->request->arg);
	return buf_add(&r->answer->text, bytes, one * n, NULL) == 0 ? n : 0;
}

static size_t on_field(char *bytes, size_t one, size_t n, void *arg)
{
	struct api_answer *a = arg;
	struct str line = {bytes, one * n};
	size_t colon = str_find(line, ':', 0);
	struct str value;

	if (!str_ieq(str_sub(line, 0, colon), STR("x-cardea-missing-nodes")))
		return n;
	value = str_trim(str_sub(line, colon + 1, str_find(line, '\r', 0)));
	snprintf(a->missing, sizeof(a->missing), "%.*s", (int)value.len, value.ptr);
	return n;
}

/* --- life --- */

static bool is_url(const char *text)
{
	CURLU *url = curl_url();
	bool ok = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;

	curl_url_cleanup(url);
	return ok;
}

static int set_base(struct api *a, const char *server, struct err *e)
{
	struct str s = str_from(server);

	if ((!str_starts(s, STR("http://")) && !str_starts(s, STR("https://"))) || !is_url(server))
		return err_set(e, ERR_INVALID, "%s: not a URL of http or https", server);
	while (s.len > 0 && s.ptr[s.len - 1] == '/')
		s.len--;
	return buf_add_str(&a->base, s, e);
}

/* curl would tell only after it has connected. */
static int check_files(const struct api_options *o, struct err *e)
{
	const char *const files[] = {o->ca, o->cert, o->key};

	for (size_t i = 0; i < array_len(files); i++)
		if (files[i] && access(files[i], R_OK) < 0)
			return err_errno(e, ERR_INVALID, errno, "%s", files[i]);
	return 0;
}

int api_create(struct api **out, const struct api_options *o, struct err *e)
{
	struct api *a = calloc(1, sizeof(*a));

	if (!a)
		return err_memory(e, "connecting");
	a->token.secret = true;
	a->ca = o->ca;
	a->cert = o->cert;
	a->key = o->key;
	a->timeout_ms = o->timeout_ms;
	if (check_files(o, e) < 0 || set_base(a, o->server, e) < 0 ||
	    (o->token && buf_add_str(&a->token, str_from(o->token), e) < 0)) {
		api_free(a);
		return -1;
	}
	a->curl = curl_easy_init();
	if (!a->curl) {
		api_free(a);
		return err_memory(e, "connecting");
	}
	*out = a;
	return 0;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	curl_easy_cleanup(a->curl);
	buf_deinit(&a->base);
	buf_deinit(&a->token);
	free(a);
}

void api_answer_deinit(struct api_answer *a)
{
	json_decref(a->body);
	a->body = NULL;
	buf_deinit(&a->text);
}

/* --- one call --- */

/* 0, or CURLcodes. */
static unsigned set_upload(struct api *a, const struct api_request *q)
{
	CURL *c = a->curl;
	long silence_s = (long)(a->timeout_ms / 1000) + (long)q->wait_s + 1;
	unsigned rc = 0;

	rc |= curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
	rc |= curl_easy_setopt(c, CURLOPT_READDATA, q->from);
	rc |= curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->from_size);
	rc |= curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)a->timeout_ms);
	rc |= curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	rc |= curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, silence_s);
	return rc;
}

/* curl takes NULL for "not set", so that nothing of the call before stays. */
static int set_options(struct api *a, const struct api_request *q, struct str body, const char *url,
		       struct receiver *receiver)
{
	CURL *c = a->curl;
	unsigned rc = 0; /* of CURLcodes */

	curl_easy_reset(c);
	rc |= curl_easy_setopt(c, CURLOPT_URL, url);
	rc |= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	rc |= curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	if (q->from)
		rc |= set_upload(a, q);
	else
		rc |= curl_easy_setopt(c, CURLOPT_TIMEOUT_MS,
				       (long)a->timeout_ms + (long)q->wait_s * 1000);
	rc |= curl_easy_setopt(c, CURLOPT_USERAGENT, "cardea/" CARDEA_VERSION);
	rc |= curl_easy_setopt(c, CURLOPT_ERRORBUFFER, a->why);
	rc |= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
	rc |= curl_easy_setopt(c, CURLOPT_WRITEDATA, receiver);
	rc |= curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_field);
	rc |= curl_easy_setopt(c, CURLOPT_HEADERDATA, receiver->answer);
	if (body.ptr) {
		rc |= curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
		rc |= curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.ptr);
	}
	rc |= curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
	if (a->token.len > 0) {
		rc |= curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
		rc |= curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, a->token.data);
	}
	if (a->ca)
		rc |= curl_easy_setopt(c, CURLOPT_CAINFO, a->ca);
	rc |= curl_easy_setopt(c, CURLOPT_SSLCERT, a->cert);
	rc |= curl_easy_setopt(c, CURLOPT_SSLKEY, a->key);
	return rc ? -1 : 0;
}

/* The list grows, or stays as it is when memory ran out: *ok tells. */
static struct curl_slist *add_field(struct curl_slist *list, bool *ok, const char *fmt, ...)
	printf_like(3, 4);
static struct curl_slist *add_field(struct curl_slist *list, bool *ok, const char *fmt, ...)
{
	struct curl_slist *longer;
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	longer = curl_slist_append(list, text);
	if (longer)
		return longer;
	*ok = false;
	return list;
}

static struct curl_slist *fields_of(const struct api_request *q, bool body, bool *ok)
{
	struct curl_slist *list =
		add_field(NULL, ok, "Accept: %s", q->accept ? q->accept : "application/json");

	if (body)
		list = add_field(list, ok, "Content-Type: %s",
				 q->content_type ? q->content_type : "application/json");
	if (q->wait_s)
		list = add_field(list, ok, "Prefer: wait=%llu", (unsigned long long)q->wait_s);
	if (q->async)
		list = add_field(list, ok, "Prefer: respond-async");
	/* No answer in between: bodies are sent at once. */
	return add_field(list, ok, "Expect:");
}

/* Wrong options are told apart from a server that is away. */
static int describe(const struct api *a, CURLcode code, struct err *e)
{
	static const struct {
		CURLcode code;
		enum err_kind kind;
	} kinds[] = {
		{CURLE_URL_MALFORMAT, ERR_INVALID},	 {CURLE_UNSUPPORTED_PROTOCOL, ERR_INVALID},
		{CURLE_SSL_CERTPROBLEM, ERR_INVALID},	 {CURLE_SSL_CACERT_BADFILE, ERR_INVALID},
		{CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT}, {CURLE_OUT_OF_MEMORY, ERR_MEMORY},
		{CURLE_WRITE_ERROR, ERR_LIMIT},
	};
	enum err_kind kind = ERR_UNAVAILABLE;

	for (size_t i = 0; i < array_len(kinds); i++)
		if (kinds[i].code == code)
			kind = kinds[i].kind;
	return err_set(e, kind, "%s: %s", a->base.data,
		       a->why[0] ? a->why : curl_easy_strerror(code));
}

static int perform(struct api *a, const struct api_request *q, struct str body, const char *url,
		   struct api_answer *out, struct err *e)
{
	bool ok = true;
	struct curl_slist *fields = fields_of(q, body.ptr || q->from, &ok);
	struct receiver receiver = {q, out};
	long status = 0;
	CURLcode code;

	a->why[0] = '\0';
	if (!ok || set_options(a, q, body, url, &receiver) < 0 ||
	    curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, fields) != CURLE_OK) {
		curl_slist_free_all(fields);
		return err_set(e, ERR_INVALID, "%s: cannot be asked with these options",
			       a->base.data);
	}
	code = curl_easy_perform(a->curl);
	curl_slist_free_all(fields);
	if (code != CURLE_OK)
		return describe(a, code, e);
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	out->status = (unsigned)status;
	if (out->text.len > 0)
		out->body = json_loadb(out->text.data, out->text.len, JSON_DECODE_ANY, NULL);
	return 0;
}

int api_call(struct api *a, const struct api_request *q, struct api_answer *out, struct err *e)
{
	char *json = q->json ? json_dumps(q->json, JSON_COMPACT) : NULL;
	struct str body = q->json ? str_from(json) : q->raw;
	struct buf url = BUF_INIT;
	int rc;

	json_decref(out->body);
	out->body = NULL;
	out->status = 0;
	out->missing[0] = '\0';
	buf_clear(&out->text);
	if (q->json && !json)
		return err_memory(e, "making a request");
	rc = buf_addf(&url, e, "%s%s", a->base.data, q->path);
	if (rc == 0)
		rc = perform(a, q, body, url.data, out, e);
	buf_deinit(&url);
	/* May be a private key. */
	if (json)
		OPENSSL_cleanse(json, strlen(json));
	free(json);
	return rc;
}

/* --- answers --- */

bool api_ok(const struct api_answer *a)
{
	return a->status >= 200 && a->status < 300;
}

bool api_row(const struct api_answer *a)
{
	return api_ok(a) && json_is_object(a->body);
}

bool api_list(const struct api_answer *a)
{
	return api_ok(a) && json_is_array(json_object_get(a->body, "data"));
}

int api_message(const struct api_answer *a, struct buf *out, struct err *e)
{
	const char *said = json_string_value(json_object_get(a->body, "message"));
	struct str text = str_trim(buf_str(&a->text));

	if (said)
		return buf_addf(out, e, "%s (HTTP %u)", said, a->status);
	return buf_addf(out, e, "HTTP %u, not an answer of the admin API%s%.*s", a->status,
			text.len ? ": " : "",
			(int)(text.len < MESSAGE_SHOWN ? text.len : MESSAGE_SHOWN), text.ptr);
}

int api_escape(struct buf *out, struct str s, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < s.len && rc == 0; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c && strchr("-._~", c)))
			rc = buf_add(out, &s.ptr[i], 1, e);
		else
			rc = buf_addf(out, e, "%%%02X", c);
	}
	return rc;
}

const char *api_text(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

int api_add_query(struct buf *path, const char *name, const char *value, struct err *e)
{
	if (!value || !value[0])
		return 0;
	if (buf_addf(path, e, "&%s=", name) < 0)
		return -1;
	return api_escape(path, str_from(value), e);
}
