#include "data-plane/plugins/revocation.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/pki/ocsp.h"
#include "data-plane/plugins/revocation_internal.h"

/* What came of a certificate. owner: revocation's verdicts, oldest first, thread: the worker. */
struct verdict {
	struct link link;
	unsigned char key[REVOCATION_KEY_SIZE]; /* SHA-256 of certificate and issuer */
	enum revocation_status status;
	uint64_t at_ns;
	int64_t until;
};

/* --- verdicts --- */

static struct str key_str(const unsigned char *key)
{
	return (struct str){(const char *)key, REVOCATION_KEY_SIZE};
}

static bool make_key(X509 *cert, X509 *issuer, unsigned char key[REVOCATION_KEY_SIZE])
{
	unsigned char both[2 * REVOCATION_KEY_SIZE];
	unsigned len = 0;

	return X509_digest(cert, EVP_sha256(), both, &len) &&
	       X509_digest(issuer, EVP_sha256(), both + REVOCATION_KEY_SIZE, &len) &&
	       EVP_Digest(both, sizeof(both), key, &len, EVP_sha256(), NULL);
}

static void verdict_drop(struct revocation *r, struct verdict *v)
{
	(void)map_remove(&r->verdicts, key_str(v->key));
	list_remove(&v->link);
	free(v);
	r->n.verdicts--;
}

bool revocation_is_fresh(uint64_t at_ns, int64_t until, uint64_t ttl_ms)
{
	return clock_mono_ns() - at_ns < ttl_ms * 1000000 && clock_wall_s() < until;
}

static const struct verdict *verdict_find(struct revocation *r, const unsigned char *key,
					  uint64_t ttl_ms)
{
	struct verdict *v = map_get(&r->verdicts, key_str(key));

	if (!v)
		return NULL;
	if (v->status == REVOCATION_UNKNOWN && ttl_ms > REVOCATION_RETRY_MS)
		ttl_ms = REVOCATION_RETRY_MS;
	return revocation_is_fresh(v->at_ns, v->until, ttl_ms) ? v : NULL;
}

/* Without memory it is asked again. */
void revocation_put(struct revocation *r, const unsigned char *key, enum revocation_status status,
		    int64_t until)
{
	struct verdict *v = map_get(&r->verdicts, key_str(key));

	if (v)
		verdict_drop(r, v);
	while (r->n.verdicts >= REVOCATION_VERDICTS_MAX)
		verdict_drop(r, container_of(list_first(&r->verdict_order), struct verdict, link));
	v = calloc(1, sizeof(*v));
	if (!v)
		return;
	memcpy(v->key, key, REVOCATION_KEY_SIZE);
	v->status = status;
	v->at_ns = clock_mono_ns();
	v->until = until;
	if (map_put(&r->verdicts, key_str(key), v, NULL, NULL) < 0) {
		free(v);
		return;
	}
	list_push(&r->verdict_order, &v->link);
	r->n.verdicts++;
}

/* --- who asks --- */

static void wait_free(struct revocation_wait *w)
{
	list_remove(&w->link);
	if (w->all)
		w->all->n.waits--;
	sk_X509_pop_free(w->chain, X509_free);
	free(w->proxy_host);
	free(w);
}

static bool names_source(X509 *cert)
{
	char *ocsp = NULL, *crl = NULL;
	bool known = ocsp_uri(cert, &ocsp, NULL) == 0 && revocation_crl_uri(cert, &crl, NULL) == 0;
	bool any = !known || ocsp || crl;

	free(ocsp);
	free(crl);
	return any;
}

/* Whether the answer for a certificate decides for the chain. */
static bool decides(STACK_OF(X509) * chain, int at, enum revocation_status status)
{
	return status == REVOCATION_REVOKED ||
	       (status == REVOCATION_UNKNOWN &&
		(at == 0 || names_source(sk_X509_value(chain, at))));
}

/* From *at on; *lookup is what is to be waited for, else what is returned is the answer. */
static enum revocation_status walk(struct revocation *r, STACK_OF(X509) * chain, int *at,
				   const struct revocation_how *how, struct lookup **lookup)
{
	*lookup = NULL;
	for (; *at + 1 < sk_X509_num(chain); (*at)++) {
		X509 *cert = sk_X509_value(chain, *at), *issuer = sk_X509_value(chain, *at + 1);
		enum revocation_status status = REVOCATION_UNKNOWN;
		unsigned char key[REVOCATION_KEY_SIZE];
		const struct verdict *v;
		struct lookup *l = NULL;

		if (!make_key(cert, issuer, key))
			return REVOCATION_UNKNOWN;
		v = verdict_find(r, key, how->ttl_ms);
		if (v)
			status = v->status;
		else if (!(l = lookup_find(r, key)))
			l = lookup_start(r, key, cert, issuer, how);
		if (l && !l->ended) {
			*lookup = l;
			return REVOCATION_UNKNOWN;
		}
		if (l) {
			status = l->status;
			lookup_free(l);
		}
		if (decides(chain, *at, status))
			return status;
	}
	return REVOCATION_GOOD;
}

static void wait_end(struct revocation_wait *w, enum revocation_status status)
{
	void (*done)(enum revocation_status status, void *arg) = w->done;
	void *arg = w->arg;

	wait_free(w);
	done(status, arg);
}

/* The look-up for w->at ended; never from within revocation_ask. */
void revocation_take(struct revocation_wait *w, enum revocation_status status)
{
	struct lookup *lookup;

	if (decides(w->chain, w->at, status)) {
		wait_end(w, status);
		return;
	}
	w->at++;
	status = walk(w->all, w->chain, &w->at, &w->how, &lookup);
	if (lookup)
		list_push(&lookup->waits, &w->link);
	else
		wait_end(w, status);
}

static struct revocation_wait *wait_make(struct revocation *r, STACK_OF(X509) * chain,
					 const struct revocation_how *how)
{
	struct revocation_wait *w;

	if (r->n.waits >= REVOCATION_WAITS_MAX)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	list_init(&w->link);
	w->chain = X509_chain_up_ref(chain);
	if (how->proxy_host)
		w->proxy_host = str_dup(str_from(how->proxy_host));
	if (!w->chain || (how->proxy_host && !w->proxy_host)) {
		wait_free(w);
		return NULL;
	}
	w->all = r;
	r->n.waits++;
	w->how = *how;
	w->how.proxy_host = w->proxy_host;
	return w;
}

enum revocation_status revocation_ask(struct revocation *r, STACK_OF(X509) * chain,
				      const struct revocation_how *how,
				      void (*done)(enum revocation_status status, void *arg),
				      void *arg, struct revocation_wait **wait)
{
	struct lookup *lookup;
	int at = 0;
	enum revocation_status status = walk(r, chain, &at, how, &lookup);
	struct revocation_wait *w;

	*wait = NULL;
	if (!lookup)
		return status;
	w = wait_make(r, chain, how);
	if (!w)
		return REVOCATION_UNKNOWN;
	w->at = at;
	w->done = done;
	w->arg = arg;
	list_push(&lookup->waits, &w->link);
	*wait = w;
	return REVOCATION_UNKNOWN;
}

void revocation_forget(struct revocation_wait *w)
{
	wait_free(w);
}

struct revocation_counts revocation_counts(const struct revocation *r)
{
	return r->n;
}

/* --- life --- */

static _Thread_local struct revocation *mine;

struct revocation *revocation_of_worker(void)
{
	return mine;
}

void revocation_set_of_worker(struct revocation *r)
{
	mine = r;
}

void revocation_settle(struct revocation *r)
{
	void (*on_closed)(void *arg) = r->on_closed;
	void *arg = r->on_closed_arg;

	if (!r->closed || r->running > 0)
		return;
	map_deinit(&r->verdicts);
	SSL_CTX_free(r->tls[0]);
	SSL_CTX_free(r->tls[1]);
	free(r);
	if (on_closed)
		on_closed(arg);
}

int revocation_create(struct revocation **out, const struct revocation_options *o, struct err *e)
{
	struct revocation *r = calloc(1, sizeof(*r));

	if (!r)
		return err_memory(e, "revocation");
	r->options = *o;
	map_init(&r->verdicts);
	list_init(&r->verdict_order);
	list_init(&r->lists);
	list_init(&r->lookups);
	*out = r;
	return 0;
}

bool revocation_close(struct revocation *r, void (*closed)(void *arg), void *arg)
{
	bool waits;

	list_for_each_safe(it, &r->lookups) lookup_abandon(container_of(it, struct lookup, link));
	list_for_each_safe(it, &r->lists)
	{
		revocation_list_abandon(container_of(it, struct list, link));
	}
	list_for_each_safe(it, &r->verdict_order)
		verdict_drop(r, container_of(it, struct verdict, link));
	waits = r->running > 0;
	r->closed = true;
	r->on_closed = waits ? closed : NULL;
	r->on_closed_arg = arg;
	revocation_settle(r);
	return waits;
}
