/* Two layers, each found by the bytes of what it is made of:
 *
 *     verify | depth | http2 | client certificate | authorities          ─▶ struct profile: SSL_CTX
 *     verify | depth | http2 | client certificate | authorities | name   ─▶ struct origin_tls
 *
 * A certificate stands in the key by the serial of its version, an authority by its id and the
 * generation since which it is as it is: what changed has another key, and what nobody refers to
 * any more goes when newer ones need its place. */
#include "data-plane/tls/origin.h"

#include <stdlib.h>
#include <string.h>

#include "common/core/map.h"
#include "common/net/tls.h"
#include "common/pki/key.h"
#include "data-plane/tables/consumer.h"

enum {
	IDLE_MAX = 512,	       /* objects that nobody refers to and that are kept */
	AUTHORITIES_MAX = 256, /* of one service */
};

struct profile {
	struct str key; /* the map's bytes, own copy */
	SSL_CTX *ctx;
	size_t origins;
	char bytes[];
};

struct origin {
	struct origin_tls public;
	struct profile *profile;
	size_t key_len;
	char bytes[]; /* key, then name with its NUL: the name is the key's end */
};

struct origin_tls_cache {
	struct origin_tls_options o;
	X509_STORE *trust; /* the global one */
	SSL_CTX *identity; /* holds the global client certificate; NULL: none */
	struct map profiles, origins;
	struct link idle; /* origins without references, most recent first */
	size_t idle_count;
	struct buf key; /* scratch */
	struct tls_sessions sessions;
};

/* What one call asks for. */
struct wanted {
	bool verify, http2;
	int depth;
	const struct cert *cert; /* NULL: the global one, or none */
	const struct ca_certificate *authorities[AUTHORITIES_MAX];
	size_t count;
};

static struct origin *origin_of(struct origin_tls *t)
{
	return container_of(t, struct origin, public);
}

/* --- making and freeing --- */

static int load_trust(struct origin_tls_cache *c, struct err *e)
{
	const char *file = c->o.trusted_file;

	c->trust = X509_STORE_new();
	if (!c->trust)
		return err_openssl(e, ERR_MEMORY, "authorities of upstreams");
	if (!file && X509_STORE_set_default_paths(c->trust) != 1)
		return err_openssl(e, ERR_UNAVAILABLE, "system's CA certificates");
	if (file && X509_STORE_load_file(c->trust, file) != 1)
		return err_openssl(e, ERR_INVALID, "CA certificates %s", file);
	return 0;
}

static int load_identity(struct origin_tls_cache *c, struct err *e)
{
	const struct tls_options o = {.cert_file = c->o.cert_file, .key_file = c->o.key_file};

	return o.cert_file || o.key_file ? tls_context(&c->identity, &o, e) : 0;
}

int origin_tls_cache_create(struct origin_tls_cache **out, const struct origin_tls_options *o,
			    struct err *e)
{
	struct origin_tls_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return err_memory(e, "TLS to upstreams");
	c->o = *o;
	map_init(&c->profiles);
	map_init(&c->origins);
	list_init(&c->idle);
	tls_sessions_init(&c->sessions, o->sessions);
	if (load_trust(c, e) != 0 || load_identity(c, e) != 0) {
		origin_tls_cache_free(c);
		return -1;
	}
	*out = c;
	return 0;
}

static void profile_drop(struct origin_tls_cache *c, struct profile *p)
{
	if (p->origins > 0)
		return;
	if (c)
		map_remove(&c->profiles, p->key);
	SSL_CTX_free(p->ctx);
	free(p);
}

static void origin_free(struct origin_tls_cache *c, struct origin *t)
{
	if (c) {
		map_remove(&c->origins, (struct str){t->bytes, t->key_len});
		c->idle_count--;
	}
	list_remove(&t->public.idle);
	t->profile->origins--;
	profile_drop(c, t->profile);
	free(t);
}

void origin_tls_cache_free(struct origin_tls_cache *c)
{
	struct str key;
	size_t pos = 0;
	void *value;

	if (!c)
		return;
	while (!list_empty(&c->idle))
		origin_free(c,
			    origin_of(container_of(list_first(&c->idle), struct origin_tls, idle)));
	while (map_next(&c->origins, &pos, &key, &value)) {
		struct origin_tls *t = &((struct origin *)value)->public;

		t->cache = NULL;
		t->options = NULL;
		t->sessions = NULL;
	}
	tls_sessions_deinit(&c->sessions);
	map_deinit(&c->origins);
	map_deinit(&c->profiles);
	buf_deinit(&c->key);
	X509_STORE_free(c->trust);
	SSL_CTX_free(c->identity);
	free(c);
}

struct origin_tls *origin_tls_ref(struct origin_tls *t)
{
	struct origin_tls_cache *c = t->cache;

	if (t->refs++ == 0 && c) {
		list_remove(&t->idle);
		c->idle_count--;
	}
	return t;
}

void origin_tls_unref(struct origin_tls **t)
{
	struct origin_tls *own = *t;
	struct origin_tls_cache *c = own ? own->cache : NULL;

	*t = NULL;
	if (!own || --own->refs > 0)
		return;
	if (!c) {
		origin_free(NULL, origin_of(own));
		return;
	}
	list_push_front(&c->idle, &own->idle);
	if (++c->idle_count > IDLE_MAX)
		origin_free(c,
			    origin_of(container_of(list_last(&c->idle), struct origin_tls, idle)));
}

/* --- what is wanted --- */

static int find_certificate(struct wanted *w, const struct tables *t, uint64_t generation,
			    const unsigned char *id, struct err *e)
{
	if (!id)
		return 0;
	w->cert = certs_by_id(&t->certs, generation, id);
	return w->cert ? 0
		       : err_set(e, ERR_INVALID,
				 "the client certificate for the upstream is not there");
}

static int find_authorities(struct wanted *w, const struct tables *t, uint64_t generation,
			    const struct service *s, struct err *e)
{
	if (s->ca_count > AUTHORITIES_MAX)
		return err_set(e, ERR_INVALID, "a service has more than %d authorities",
			       AUTHORITIES_MAX);
	for (; w->count < s->ca_count; w->count++) {
		w->authorities[w->count] = ca_certificate_find(
			&t->entities, generation, s->ca_certificates + w->count * ENTITY_ID_SIZE);
		if (!w->authorities[w->count])
			return err_set(e, ERR_INVALID,
				       "an authority for the upstream is not there");
	}
	return 0;
}

static int make_key(struct buf *b, const struct wanted *w, struct err *e)
{
	const unsigned char flags[] = {w->verify, w->http2, (unsigned char)w->depth};
	uint64_t serial = w->cert ? w->cert->serial : 0;

	buf_clear(b);
	if (buf_add(b, flags, sizeof(flags), e) != 0 ||
	    buf_add(b, &serial, sizeof(serial), e) != 0 ||
	    buf_add(b, &w->count, sizeof(w->count), e) != 0)
		return -1;
	for (size_t i = 0; i < w->count; i++) {
		const struct entity *en = &w->authorities[i]->entity;

		if (buf_add(b, en->id, sizeof(en->id), e) != 0 ||
		    buf_add(b, &en->version.since, sizeof(en->version.since), e) != 0)
			return -1;
	}
	return 0;
}

/* --- the SSL_CTX --- */

static int use_trust(SSL_CTX *ctx, const struct origin_tls_cache *c, const struct wanted *w,
		     struct err *e)
{
	X509_STORE *own;

	if (!w->verify) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
		return 0;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_verify_depth(ctx, w->depth);
	if (w->count == 0) {
		SSL_CTX_set1_cert_store(ctx, c->trust);
		return 0;
	}
	own = SSL_CTX_get_cert_store(ctx); /* empty */
	for (size_t i = 0; i < w->count; i++)
		if (X509_STORE_add_cert(own, w->authorities[i]->x509) != 1)
			return err_openssl(e, ERR_MEMORY, "authorities of an upstream");
	return 0;
}

static STACK_OF(X509) * parse_chain(const struct cert_chain *chain)
{
	STACK_OF(X509) *out = sk_X509_new_null();

	for (size_t i = 0; out && chain && i < chain->count; i++) {
		const unsigned char *p = (const unsigned char *)chain->ders[i].ptr;
		X509 *x = d2i_X509(NULL, &p, (long)chain->ders[i].len);

		if (x && sk_X509_push(out, x) > 0)
			continue;
		X509_free(x);
		sk_X509_pop_free(out, X509_free);
		return NULL;
	}
	return out;
}

/* Parsed by OpenSSL's own decoders: a context is made seldom, and outlives caches. */
static int use_part(SSL_CTX *ctx, const struct cert_part *part, struct err *e)
{
	const unsigned char *p = part->leaf;
	X509 *leaf = d2i_X509(NULL, &p, (long)part->leaf_len);
	STACK_OF(X509) *chain = parse_chain(part->chain);
	EVP_PKEY *key = NULL;
	int rc = -1;

	if (!leaf || !chain)
		err_openssl(e, ERR_INVALID, "client certificate");
	else if (key_from_der(&key, (struct str){(const char *)part->key, part->key_len}, e) == 0)
		rc = SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 1) == 1
			     ? 0
			     : err_openssl(e, ERR_INVALID, "client certificate");
	X509_free(leaf);
	EVP_PKEY_free(key);
	sk_X509_pop_free(chain, X509_free);
	return rc;
}

static int use_identity(SSL_CTX *ctx, SSL_CTX *from, struct err *e)
{
	STACK_OF(X509) *chain = NULL;

	SSL_CTX_get0_chain_certs(from, &chain);
	return SSL_CTX_use_cert_and_key(ctx, SSL_CTX_get0_certificate(from),
					SSL_CTX_get0_privatekey(from), chain, 1) == 1
		       ? 0
		       : err_openssl(e, ERR_INVALID, "global client certificate");
}

static int use_certificate(SSL_CTX *ctx, const struct origin_tls_cache *c, const struct wanted *w,
			   struct err *e)
{
	if (!w->cert)
		return c->identity ? use_identity(ctx, c->identity, e) : 0;
	for (size_t i = 0; i < w->cert->count; i++)
		if (use_part(ctx, &w->cert->parts[i], e) != 0)
			return -1;
	return 0;
}

static SSL_CTX *make_ctx(const struct origin_tls_cache *c, const struct wanted *w, struct err *e)
{
	const struct tls_options o = {.http2 = w->http2};
	SSL_CTX *ctx;

	if (tls_context(&ctx, &o, e) != 0)
		return NULL;
	if (use_trust(ctx, c, w, e) == 0 && use_certificate(ctx, c, w, e) == 0 &&
	    origin_tls_resumable(ctx, e) == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

/* --- getting --- */

static struct profile *profile_get(struct origin_tls_cache *c, const struct wanted *w,
				   struct err *e)
{
	struct str key = buf_str(&c->key);
	struct profile *p = map_get(&c->profiles, key);

	if (p)
		return p;
	p = calloc(1, sizeof(*p) + key.len);
	if (!p) {
		err_memory(e, "TLS to an upstream");
		return NULL;
	}
	memcpy(p->bytes, key.ptr, key.len);
	p->key = (struct str){p->bytes, key.len};
	p->ctx = make_ctx(c, w, e);
	if (p->ctx && map_put(&c->profiles, p->key, p, NULL, e) == 0)
		return p;
	SSL_CTX_free(p->ctx);
	free(p);
	return NULL;
}

/* c->key holds the profile's key and then the name, of name_len bytes. */
static struct origin *origin_make(struct origin_tls_cache *c, struct profile *p, size_t name_len,
				  bool verify, struct err *e)
{
	struct str key = buf_str(&c->key);
	struct origin *t = calloc(1, sizeof(*t) + key.len + 1);

	if (!t) {
		err_memory(e, "TLS to an upstream");
		return NULL;
	}
	memcpy(t->bytes, key.ptr, key.len);
	t->key_len = key.len;
	t->profile = p;
	t->public = (struct origin_tls){
		.ctx = p->ctx,
		.name = t->bytes + key.len - name_len,
		.verify = verify,
		.key = {t->bytes, key.len},
		.options = &c->o,
		.sessions = &c->sessions,
		.cache = c,
	};
	list_init(&t->public.idle);
	if (map_put(&c->origins, key, t, NULL, e) != 0) {
		free(t);
		return NULL;
	}
	p->origins++;
	/* As if somebody had given it back: the caller's reference takes it off. */
	list_push_front(&c->idle, &t->public.idle);
	c->idle_count++;
	return t;
}

static int add_name(struct buf *b, struct str host, size_t *len, struct err *e)
{
	if (host.len > 0 && host.ptr[host.len - 1] == '.')
		host.len--;
	if (host.len == 0 || memchr(host.ptr, '\0', host.len))
		return err_set(e, ERR_INVALID, "the upstream has no name to verify");
	*len = host.len;
	return buf_add_str(b, host, e);
}

static int get(struct origin **out, struct origin_tls_cache *c, const struct wanted *w,
	       struct str host, struct err *e)
{
	size_t profile_len, name_len = 0;
	struct profile *p;

	if (make_key(&c->key, w, e) != 0)
		return -1;
	profile_len = c->key.len;
	if (add_name(&c->key, host, &name_len, e) != 0)
		return -1;
	*out = map_get(&c->origins, buf_str(&c->key));
	if (*out)
		return 0;
	c->key.len = profile_len;
	p = profile_get(c, w, e);
	if (!p)
		return -1;
	if (add_name(&c->key, host, &name_len, e) == 0)
		*out = origin_make(c, p, name_len, w->verify, e);
	if (!*out)
		profile_drop(c, p);
	return *out ? 0 : -1;
}

static const unsigned char *certificate_of(const struct service *s, const struct upstream *u)
{
	return s->client_certificate || !u ? s->client_certificate : u->client_certificate;
}

int origin_tls_get(struct origin_tls **out, struct origin_tls_cache *c, uint64_t generation,
		   const struct service *s, const struct upstream *u, struct str host, bool http2,
		   struct err *e)
{
	const struct tables *t = c->o.tables;
	struct wanted w = {.http2 = http2};
	struct origin *found = NULL;

	w.verify = s->tls_verify < 0 ? c->o.verify : s->tls_verify;
	w.verify = w.verify || c->o.enforce;
	w.depth = s->tls_verify_depth < 0 ? c->o.verify_depth : s->tls_verify_depth;
	if (find_certificate(&w, t, generation, certificate_of(s, u), e) != 0 ||
	    find_authorities(&w, t, generation, s, e) != 0 || get(&found, c, &w, host, e) != 0)
		return -1;
	*out = origin_tls_ref(&found->public);
	return 0;
}

int origin_tls_get_for_checks(struct origin_tls **out, struct origin_tls_cache *c,
			      const struct upstream *u, struct str host, bool http2, struct err *e)
{
	uint64_t generation = tables_enter(c->o.tables);
	struct wanted w = {.http2 = http2,
			   .verify = u->checks.active.verify || c->o.enforce,
			   .depth = c->o.verify_depth};
	struct origin *found = NULL;

	if (find_certificate(&w, c->o.tables, generation, u->client_certificate, e) != 0 ||
	    get(&found, c, &w, host, e) != 0)
		return -1;
	*out = origin_tls_ref(&found->public);
	return 0;
}
