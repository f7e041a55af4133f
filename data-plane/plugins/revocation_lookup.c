/* Happy path: no verdict ─▶ look-up: the responder answers ─▶ verdict ─▶ who waits goes on.
 * Failure paths: no responder, or one that fails, or does not know ─▶ the list; no list, or one
 * that is of no use ─▶ the verdict UNKNOWN, which holds for REVOCATION_RETRY_MS. */
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/net/tls.h"
#include "common/pki/ocsp.h"
#include "data-plane/plugins/revocation_internal.h"

/* --- fetching --- */

static void fetch_over(struct revocation *r)
{
	r->running--;
	revocation_settle(r);
}

static void on_gone(void *arg)
{
	fetch_over(arg);
}

static SSL_CTX *context(struct revocation *r, bool verify)
{
	const struct tls_options o = {.verify_peer = verify};
	struct err e = ERR_INIT;

	if (!r->tls[verify] && tls_context(&r->tls[verify], &o, &e) < 0) {
		log_warn("no TLS to responders", log_err(&e));
		r->tls[verify] = NULL;
	}
	return r->tls[verify];
}

/* body.ptr: a POST of an OCSP request. */
static int run_fetch(struct revocation *r, struct fetch **out, const char *url, struct str body,
		     const struct revocation_how *how, size_t max_bytes,
		     void (*done)(struct str body, const struct err *why, void *arg), void *arg,
		     struct err *e)
{
	const struct fetch_options o = {
		.url = str_from(url),
		.tls = str_ieq(str_sub(str_from(url), 0, 6), STR("https:"))
			       ? context(r, how->ssl_verify)
			       : NULL,
		.allow_private = r->options.allow_private,
		.timeout_ms = how->timeout_ms,
		.max_bytes = max_bytes,
		.content_type = body.ptr ? STR("application/ocsp-request") : STR_NONE,
		.body = body,
		.proxy_host = how->proxy_host,
		.proxy_port = how->proxy_port,
		.done = done,
		.arg = arg,
	};

	if (fetch_start(out, r->options.loop, &o, e) < 0)
		return -1;
	r->running++;
	r->n.fetched++;
	return 0;
}

/* --- lists --- */

static void list_drop(struct list *l)
{
	l->all->n.lists--;
	l->all->n.list_bytes -= l->bytes;
	list_remove(&l->link);
	X509_CRL_free(l->crl);
	free(l->url);
	free(l);
}

static struct list *list_find(struct revocation *r, const char *url)
{
	list_for_each(it, &r->lists)
	{
		struct list *l = container_of(it, struct list, link);

		if (strcmp(l->url, url) == 0)
			return l;
	}
	return NULL;
}

/* The oldest that nobody waits for. */
static bool list_evict(struct revocation *r)
{
	list_for_each(it, &r->lists)
	{
		struct list *l = container_of(it, struct list, link);

		if (l->fetch || l->busy)
			continue;
		list_drop(l);
		return true;
	}
	return false;
}

static struct list *list_make(struct revocation *r, const char *url)
{
	struct list *l;

	if (r->n.lists >= REVOCATION_LISTS_MAX && !list_evict(r))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->url = str_dup(str_from(url));
	if (!l->url) {
		free(l);
		return NULL;
	}
	l->all = r;
	list_init(&l->waiting);
	list_push(&r->lists, &l->link);
	r->n.lists++;
	return l;
}

/* --- look-ups --- */

void lookup_free(struct lookup *l)
{
	list_remove(&l->link);
	list_remove(&l->at_list);
	l->all->n.lookups--;
	X509_free(l->cert);
	X509_free(l->issuer);
	free(l->proxy_host);
	free(l);
}

static void lookup_end(struct lookup *l, enum revocation_status status, int64_t until)
{
	revocation_put(l->all, l->key, status, until);
	l->ended = true;
	l->status = status;
}

/* Who waits is told; l is gone. */
static void lookup_finish(struct lookup *l)
{
	struct link waits;
	enum revocation_status status = l->status;

	list_init(&waits);
	list_move_all(&waits, &l->waits);
	lookup_free(l);
	while (!list_empty(&waits)) {
		struct revocation_wait *w =
			container_of(list_first(&waits), struct revocation_wait, link);

		list_remove(&w->link);
		revocation_take(w, status);
	}
}

static void lookup_warn(const struct lookup *l, const char *what, const struct err *e)
{
	(void)l;
	log_warn(what, log_err(e));
}

static void lookup_read_list(struct lookup *l, struct list *list)
{
	struct err e = ERR_INIT;
	enum revocation_status status = revocation_crl_read(list->crl, l->cert, l->issuer, &e);

	if (status == REVOCATION_UNKNOWN)
		lookup_warn(l, "revocation list", &e);
	lookup_end(l, status, status == REVOCATION_UNKNOWN ? INT64_MAX : list->until);
}

static void on_list(struct str body, const struct err *why, void *arg)
{
	struct list *l = arg;
	struct revocation *r = l->all;
	struct err e = ERR_INIT;
	X509_CRL *crl = NULL;
	struct link waiting;

	l->fetch = NULL;
	l->busy = true;
	if (!why && revocation_crl_parse(&crl, body, &e) < 0)
		why = &e;
	if (why)
		log_warn("revocation list not fetched", log_str("url", l->url), log_err(why));
	X509_CRL_free(l->crl);
	r->n.list_bytes -= l->bytes;
	l->crl = crl;
	l->bytes = crl ? body.len : 0;
	l->fetched_ns = clock_mono_ns();
	l->until = crl ? revocation_crl_until(crl) : 0;
	r->n.list_bytes += l->bytes;
	list_init(&waiting);
	list_move_all(&waiting, &l->waiting);
	list_for_each(it, &waiting)
	{
		struct lookup *waiter = container_of(it, struct lookup, at_list);

		if (crl)
			lookup_read_list(waiter, l);
		else
			lookup_end(waiter, REVOCATION_UNKNOWN, INT64_MAX);
	}
	while (r->n.list_bytes > REVOCATION_LISTS_BYTES && list_evict(r))
		continue;
	l->busy = false;
	if (!crl)
		list_drop(l);
	while (!list_empty(&waiting))
		lookup_finish(container_of(list_first(&waiting), struct lookup, at_list));
	fetch_over(r);
}

/* Ends l, or lets it wait for the list. */
static void lookup_list(struct lookup *l)
{
	struct revocation *r = l->all;
	struct err e = ERR_INIT;
	char *url = NULL;
	struct list *list = NULL;

	if (revocation_crl_uri(l->cert, &url, &e) == 0 && url)
		list = list_find(r, url);
	if (list && list->crl && !list->fetch &&
	    revocation_is_fresh(list->fetched_ns, list->until, l->how.ttl_ms)) {
		lookup_read_list(l, list);
		free(url);
		return;
	}
	if (url && !list)
		list = list_make(r, url);
	if (list && !list->fetch &&
	    run_fetch(r, &list->fetch, url, STR_NONE, &l->how, r->options.max_bytes, on_list, list,
		      &e) < 0) {
		lookup_warn(l, "revocation list not fetched", &e);
		list_drop(list);
		list = NULL;
	}
	free(url);
	if (list)
		list_push(&list->waiting, &l->at_list);
	else
		lookup_end(l, REVOCATION_UNKNOWN, INT64_MAX);
}

static void on_ocsp(struct str body, const struct err *why, void *arg)
{
	struct lookup *l = arg;
	struct revocation *r = l->all;
	enum revocation_status status = REVOCATION_UNKNOWN;
	struct err e = ERR_INIT;
	int64_t until = INT64_MAX;

	l->fetch = NULL;
	if (!why) {
		status = revocation_ocsp_read(body, l->cert, l->issuer, &until, &e);
		why = &e;
	}
	if (status == REVOCATION_UNKNOWN) {
		lookup_warn(l, "no use of a responder", why);
		lookup_list(l);
	} else {
		lookup_end(l, status, until);
	}
	if (l->ended)
		lookup_finish(l);
	fetch_over(r);
}

static bool lookup_ocsp(struct lookup *l)
{
	struct buf der = BUF_INIT;
	struct err e = ERR_INIT;
	char *url = NULL;
	bool started = false;

	if (ocsp_uri(l->cert, &url, &e) == 0 && url &&
	    ocsp_request(&der, l->cert, l->issuer, &e) == 0)
		started = run_fetch(l->all, &l->fetch, url, buf_str(&der), &l->how,
				    REVOCATION_OCSP_BYTES, on_ocsp, l, &e) == 0;
	if (e.kind != ERR_NONE)
		lookup_warn(l, "no use of a responder", &e);
	free(url);
	buf_deinit(&der);
	return started;
}

struct lookup *lookup_find(struct revocation *r, const unsigned char *key)
{
	list_for_each(it, &r->lookups)
	{
		struct lookup *l = container_of(it, struct lookup, link);

		if (memcmp(l->key, key, REVOCATION_KEY_SIZE) == 0) /* not secret */
			return l;
	}
	return NULL;
}

/* NULL: limits, memory. It may have ended already. */
struct lookup *lookup_start(struct revocation *r, const unsigned char *key, X509 *cert,
			    X509 *issuer, const struct revocation_how *how)
{
	struct lookup *l;

	if (r->n.lookups >= REVOCATION_LOOKUPS_MAX)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	if (how->proxy_host) {
		l->proxy_host = str_dup(str_from(how->proxy_host));
		if (!l->proxy_host) {
			free(l);
			return NULL;
		}
	}
	l->all = r;
	l->how = *how;
	l->how.proxy_host = l->proxy_host;
	memcpy(l->key, key, REVOCATION_KEY_SIZE);
	X509_up_ref(cert);
	X509_up_ref(issuer);
	l->cert = cert;
	l->issuer = issuer;
	list_init(&l->at_list);
	list_init(&l->waits);
	list_push(&r->lookups, &l->link);
	r->n.lookups++;
	if (!lookup_ocsp(l))
		lookup_list(l);
	return l;
}

/* --- the end --- */

void lookup_abandon(struct lookup *l)
{
	list_for_each_safe(it, &l->waits)
	{
		list_remove(it);
		container_of(it, struct revocation_wait, link)->all = NULL;
	}
	if (l->fetch)
		fetch_cancel(l->fetch, on_gone, l->all);
	lookup_free(l);
}

void revocation_list_abandon(struct list *l)
{
	if (l->fetch)
		fetch_cancel(l->fetch, on_gone, l->all);
	list_drop(l);
}
