#include "data-plane/tables/certs.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

struct sni {
	struct version version;
	unsigned char certificate_id[CERTS_ID_SIZE];
	uint16_t minimum; /* 0: none */
	uint16_t name_len;
	char name[];
};

struct minimum {
	struct version version;
	uint16_t tls;
};

struct name {
	struct version version;
	unsigned char sni_id[CERTS_ID_SIZE];
	unsigned char certificate_id[CERTS_ID_SIZE];
};

static struct str id_str(const unsigned char id[CERTS_ID_SIZE])
{
	return (struct str){(const char *)id, CERTS_ID_SIZE};
}

static const struct cert *cert_of(const struct version *v)
{
	return v ? container_of((struct version *)(uintptr_t)v, struct cert, version) : NULL;
}

static struct sni *sni_of(struct version *v)
{
	return v ? container_of(v, struct sni, version) : NULL;
}

static const struct name *name_of(const struct version *v)
{
	return v ? container_of((struct version *)(uintptr_t)v, struct name, version) : NULL;
}

/* --- reading --- */

const struct cert *certs_by_id(const struct certs *c, uint64_t generation,
			       const unsigned char id[CERTS_ID_SIZE])
{
	return cert_of(vmap_get(&c->certs, id_str(id), generation));
}

static uint16_t minimum_of(const struct certs *c, uint64_t generation, struct str key)
{
	const struct version *v = NULL;

	if (atomic_load_explicit(&c->minimums.count, memory_order_relaxed) > 0)
		v = vmap_get(&c->minimums, key, generation);
	return v ? container_of((struct version *)(uintptr_t)v, struct minimum, version)->tls : 0;
}

static const struct cert *find_key(const struct certs *c, uint64_t generation, struct str key,
				   uint16_t *minimum)
{
	const struct name *n = name_of(vmap_get(&c->names, key, generation));
	const struct cert *cert = n ? certs_by_id(c, generation, n->certificate_id) : NULL;

	if (cert)
		*minimum = minimum_of(c, generation, key);
	return cert;
}

static const struct cert *find_wild(const struct certs *c, uint64_t generation, struct str name,
				    uint16_t *minimum)
{
	char key[CERTS_NAME_MAX + 3];
	size_t first = str_find(name, '.', 0);
	size_t last = name.len;
	const struct cert *found;

	if (first == name.len || name.len > CERTS_NAME_MAX)
		return NULL;
	key[0] = '*';
	memcpy(key + 1, name.ptr + first, name.len - first);
	found = find_key(c, generation, (struct str){key, 1 + name.len - first}, minimum);
	if (found)
		return found;
	while (name.ptr[last - 1] != '.')
		last--;
	memcpy(key, name.ptr, last);
	key[last] = '*';
	return find_key(c, generation, (struct str){key, last + 1}, minimum);
}

const struct cert *certs_find_minimum(const struct certs *c, uint64_t generation, struct str name,
				      uint16_t *minimum)
{
	const struct cert *found;

	*minimum = 0;
	found = find_key(c, generation, name, minimum);
	if (!found)
		found = find_wild(c, generation, name, minimum);
	return found ? found : find_key(c, generation, STR("*"), minimum);
}

const struct cert *certs_find(const struct certs *c, uint64_t generation, struct str name)
{
	uint16_t minimum;

	return certs_find_minimum(c, generation, name, &minimum);
}

const struct cert *certs_find_address(const struct certs *c, uint64_t generation,
				      const struct addr *a, char text[ADDR_TEXT_SIZE],
				      uint16_t *minimum)
{
	struct addr plain = *a;

	addr_unmap(&plain);
	addr_ip_text(&plain, text, ADDR_TEXT_SIZE);
	*minimum = 0;
	return find_key(c, generation, str_from(text), minimum);
}

/* --- chains --- */

static void chain_digest(const struct cert_source *s, unsigned char out[SHA256_DIGEST_LENGTH])
{
	unsigned char each[CERTS_CHAIN_MAX][SHA256_DIGEST_LENGTH];

	for (size_t i = 0; i < s->chain_count; i++)
		SHA256((const unsigned char *)s->chain[i].ptr, s->chain[i].len, each[i]);
	SHA256(each[0], s->chain_count * sizeof(each[0]), out);
}

static struct cert_chain *chain_make(const struct cert_source *s)
{
	size_t size = sizeof(struct cert_chain) + s->chain_count * sizeof(struct str);
	struct cert_chain *chain;
	char *at;

	for (size_t i = 0; i < s->chain_count; i++)
		size += s->chain[i].len;
	chain = calloc(1, size);
	if (!chain)
		return NULL;
	chain->count = s->chain_count;
	at = (char *)&chain->ders[s->chain_count];
	for (size_t i = 0; i < s->chain_count; i++) {
		memcpy(at, s->chain[i].ptr, s->chain[i].len);
		chain->ders[i] = (struct str){at, s->chain[i].len};
		at += s->chain[i].len;
	}
	return chain;
}

/* *out is NULL for an empty chain. Takes a reference. */
static int chain_ref(struct certs *c, const struct cert_source *s, const struct cert_chain **out,
		     struct err *e)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct str key = {(const char *)digest, sizeof(digest)};
	struct cert_chain *chain;

	*out = NULL;
	if (s->chain_count == 0)
		return 0;
	chain_digest(s, digest);
	chain = map_get(&c->chains, key);
	if (!chain) {
		chain = chain_make(s);
		if (!chain)
			return err_memory(e, "storing a chain");
		if (map_put(&c->chains, key, chain, NULL, e) != 0) {
			free(chain);
			return -1;
		}
		chain->serial = c->next_serial++;
	}
	chain->refs++;
	*out = chain;
	return 0;
}

static void chain_unref(struct certs *c, const struct cert_chain *shared)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct cert_source s = {0};
	struct cert_chain *chain;

	if (!shared)
		return;
	s.chain = shared->ders;
	s.chain_count = shared->count;
	chain_digest(&s, digest);
	chain = map_get(&c->chains, (struct str){(const char *)digest, sizeof(digest)});
	if (chain && --chain->refs == 0) {
		map_remove(&c->chains, (struct str){(const char *)digest, sizeof(digest)});
		free(chain);
	}
}

/* --- certificates --- */

static void cert_free(struct certs *c, struct cert *cert)
{
	for (size_t i = 0; i < cert->count; i++) {
		struct cert_part *p = &cert->parts[i];

		chain_unref(c, p->chain);
		secmem_free(&c->keys, (void *)(uintptr_t)p->key, p->key_len);
	}
	free(cert);
}

static void free_cert(struct version *v, void *arg)
{
	cert_free(arg, container_of(v, struct cert, version));
}

static void free_minimum(struct version *v, void *arg)
{
	(void)arg;
	free(container_of(v, struct minimum, version));
}

static void free_sni(struct version *v, void *arg)
{
	(void)arg;
	free(sni_of(v));
}

static void free_name(struct version *v, void *arg)
{
	(void)arg;
	free(container_of(v, struct name, version));
}

int certs_init(struct certs *c, struct err *e)
{
	memset(c, 0, sizeof(*c));
	secmem_init(&c->keys);
	map_init(&c->chains);
	c->next_serial = 1;
	if (vmap_init(&c->certs, free_cert, c, e) == 0 &&
	    vmap_init(&c->names, free_name, c, e) == 0 &&
	    vmap_init(&c->snis, free_sni, c, e) == 0 &&
	    vmap_init(&c->minimums, free_minimum, c, e) == 0)
		return 0;
	certs_deinit(c);
	return -1;
}

void certs_deinit(struct certs *c)
{
	vmap_deinit(&c->minimums);
	vmap_deinit(&c->snis);
	vmap_deinit(&c->names);
	vmap_deinit(&c->certs);
	map_deinit(&c->chains);
	secmem_deinit(&c->keys);
}

static int check_sizes(const struct cert_source *pairs, size_t count, struct err *e)
{
	if (count == 0 || count > CERTS_PAIRS_MAX)
		return err_set(e, ERR_INVALID, "%zu key pairs: one or two are allowed", count);
	for (size_t i = 0; i < count; i++) {
		const struct cert_source *s = &pairs[i];

		if (s->leaf.len == 0 || s->leaf.len > CERTS_DER_MAX)
			return err_set(e, ERR_INVALID, "leaf of %zu bytes: 1 to %d are allowed",
				       s->leaf.len, CERTS_DER_MAX);
		if (s->key.len == 0 || s->key.len > SECMEM_MAX)
			return err_set(e, ERR_INVALID, "key of %zu bytes: 1 to %d are allowed",
				       s->key.len, SECMEM_MAX);
		if (s->staple.len > CERTS_STAPLE_MAX)
			return err_set(e, ERR_INVALID,
				       "OCSP response of %zu bytes: at most %d are allowed",
				       s->staple.len, CERTS_STAPLE_MAX);
		if (s->chain_count > CERTS_CHAIN_MAX)
			return err_set(e, ERR_INVALID, "chain of %zu certificates: at most %d",
				       s->chain_count, CERTS_CHAIN_MAX);
		for (size_t k = 0; k < s->chain_count; k++)
			if (s->chain[k].len == 0 || s->chain[k].len > CERTS_DER_MAX)
				return err_set(e, ERR_INVALID, "chain certificate of %zu bytes",
					       s->chain[k].len);
	}
	return 0;
}

static bool same_chain(const struct cert_chain *a, const struct cert_source *s)
{
	if (!a || a->count != s->chain_count)
		return !a && s->chain_count == 0;
	for (size_t i = 0; i < a->count; i++)
		if (!str_eq(a->ders[i], s->chain[i]))
			return false;
	return true;
}

static struct str staple_of(const struct cert_part *p)
{
	return p->staple ? (struct str){(const char *)p->staple, p->staple_len} : STR("");
}

static bool same_cert(const struct cert *a, const struct cert_source *pairs, size_t count)
{
	if (!a || a->count != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct cert_part *p = &a->parts[i];
		const struct cert_source *s = &pairs[i];

		if (p->leaf_len != s->leaf.len || p->key_len != s->key.len ||
		    !str_eq(staple_of(p), s->staple) ||
		    memcmp(p->leaf, s->leaf.ptr, s->leaf.len) != 0 /* not secret */ ||
		    CRYPTO_memcmp(p->key, s->key.ptr, s->key.len) != 0 || !same_chain(p->chain, s))
			return false;
	}
	return true;
}

static int part_fill(struct certs *c, struct cert_part *p, unsigned char *leaf,
		     const struct cert_source *s, struct err *e)
{
	unsigned char *key = secmem_alloc(&c->keys, s->key.len);

	if (!key)
		return err_memory(e, "storing a key");
	memcpy(key, s->key.ptr, s->key.len);
	memcpy(leaf, s->leaf.ptr, s->leaf.len);
	if (s->staple.len > 0) {
		p->staple = memcpy(leaf + s->leaf.len, s->staple.ptr, s->staple.len);
		p->staple_len = (uint32_t)s->staple.len;
	}
	p->leaf = leaf;
	p->leaf_len = (uint32_t)s->leaf.len;
	p->key = key;
	p->key_len = (uint32_t)s->key.len;
	return chain_ref(c, s, &p->chain, e);
}

static struct cert *cert_make(struct certs *c, const unsigned char id[CERTS_ID_SIZE],
			      const struct cert_source *pairs, size_t count, struct err *e)
{
	size_t size = sizeof(struct cert) + count * sizeof(struct cert_part);
	struct cert *cert;
	unsigned char *leaf;

	for (size_t i = 0; i < count; i++)
		size += pairs[i].leaf.len + pairs[i].staple.len;
	cert = calloc(1, size);
	if (!cert) {
		err_memory(e, "storing a certificate");
		return NULL;
	}
	cert->serial = c->next_serial++;
	memcpy(cert->id, id, CERTS_ID_SIZE);
	leaf = (unsigned char *)&cert->parts[count];
	for (size_t i = 0; i < count; i++) {
		cert->count = i + 1;
		if (part_fill(c, &cert->parts[i], leaf, &pairs[i], e) != 0) {
			cert_free(c, cert);
			return NULL;
		}
		leaf += pairs[i].leaf.len + pairs[i].staple.len;
	}
	return cert;
}

int certs_put(struct certs *c, struct vmap_txn *x, const unsigned char id[CERTS_ID_SIZE],
	      const struct cert_source *pairs, size_t count, struct err *e)
{
	struct vmap_entry *entry;
	struct cert *cert;

	if (check_sizes(pairs, count, e) != 0 || vmap_touch(x, &c->certs, id_str(id), &entry, e))
		return -1;
	if (!entry->pending && same_cert(cert_of(vmap_current(entry)), pairs, count))
		return 0;
	cert = cert_make(c, id, pairs, count, e);
	return cert ? vmap_put(x, &c->certs, id_str(id), &cert->version, e) : -1;
}

int certs_remove(struct certs *c, struct vmap_txn *x, const unsigned char id[CERTS_ID_SIZE],
		 struct err *e)
{
	return vmap_remove(x, &c->certs, id_str(id), e);
}

/* --- names --- */

int certs_put_sni(struct certs *c, struct vmap_txn *x, const unsigned char id[CERTS_ID_SIZE],
		  struct str name, const unsigned char certificate_id[CERTS_ID_SIZE],
		  uint16_t minimum, struct err *e)
{
	struct vmap_entry *entry;
	struct sni *sni;

	if (!certs_name_ok(name) || name.len > CERTS_NAME_MAX)
		return err_set(e, ERR_INVALID, "not a name that a client can ask for");
	if (vmap_touch(x, &c->snis, id_str(id), &entry, e) != 0)
		return -1;
	sni = sni_of(vmap_current(entry));
	if (!entry->pending && sni && str_eq(name, (struct str){sni->name, sni->name_len}) &&
	    memcmp(sni->certificate_id, certificate_id, CERTS_ID_SIZE) == 0 &&
	    sni->minimum == minimum)
		return 0;
	sni = calloc(1, sizeof(*sni) + name.len);
	if (!sni)
		return err_memory(e, "storing a name");
	memcpy(sni->certificate_id, certificate_id, CERTS_ID_SIZE);
	sni->minimum = minimum;
	sni->name_len = (uint16_t)name.len;
	memcpy(sni->name, name.ptr, name.len);
	return vmap_put(x, &c->snis, id_str(id), &sni->version, e);
}

int certs_remove_sni(struct certs *c, struct vmap_txn *x, const unsigned char id[CERTS_ID_SIZE],
		     struct err *e)
{
	return vmap_remove(x, &c->snis, id_str(id), e);
}

int certs_sweep(struct certs *c, struct vmap_txn *x, struct err *e)
{
	return vmap_sweep(x, &c->certs, e) != 0 || vmap_sweep(x, &c->snis, e) != 0 ? -1 : 0;
}

/* --- references --- */

static struct str sni_name(const struct sni *s)
{
	return (struct str){s->name, s->name_len};
}

static int count_use(struct certs *c, struct vmap_txn *x,
		     const unsigned char certificate_id[CERTS_ID_SIZE], int by, struct err *e)
{
	struct vmap_entry *cert;

	if (vmap_touch(x, &c->certs, id_str(certificate_id), &cert, e) != 0)
		return -1;
	cert->uses_change += by;
	return 0;
}

/* What the sni held before this transaction goes, unless it stays as it is. */
static int release_old(struct certs *c, struct vmap_txn *x, const struct withheld *w,
		       const struct vmap_entry *entry, struct err *e)
{
	struct sni *old = sni_of(vmap_current(entry));

	(void)w;
	if (!old)
		return 0;
	if (count_use(c, x, old->certificate_id, -1, e) != 0 ||
	    (old->minimum && vmap_remove(x, &c->minimums, sni_name(old), e) != 0))
		return -1;
	return vmap_remove(x, &c->names, sni_name(old), e);
}

static int put_minimum(struct certs *c, struct vmap_txn *x, const struct sni *sni, struct err *e)
{
	struct minimum *m;

	if (!sni->minimum)
		return 0;
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_memory(e, "storing a name");
	m->tls = sni->minimum;
	return vmap_put(x, &c->minimums, sni_name(sni), &m->version, e);
}

static int claim_new(struct certs *c, struct vmap_txn *x, const struct withheld *w,
		     const struct vmap_entry *entry, struct err *e)
{
	struct sni *sni = sni_of(vmap_staged(entry));
	const struct name *holder;
	struct name *name;

	if (!sni)
		return 0;
	holder = name_of(vmap_staged(vmap_find(&c->names, sni_name(sni))));
	if (holder && !str_eq(id_str(holder->sni_id), (struct str){entry->key, entry->key_len}))
		return err_set(e, ERR_CONFLICT, "name %.*s belongs to another sni",
			       (int)sni->name_len, sni->name);
	if (!vmap_staged(vmap_find(&c->certs, id_str(sni->certificate_id))) &&
	    !withheld_has(w, TABLES_CERTIFICATE, sni->certificate_id))
		return err_set(e, ERR_INVALID,
			       "name %.*s refers to a certificate that is not there",
			       (int)sni->name_len, sni->name);
	if (count_use(c, x, sni->certificate_id, 1, e) != 0 || put_minimum(c, x, sni, e) != 0)
		return -1;
	name = calloc(1, sizeof(*name));
	if (!name)
		return err_memory(e, "storing a name");
	memcpy(name->sni_id, entry->key, CERTS_ID_SIZE);
	memcpy(name->certificate_id, sni->certificate_id, CERTS_ID_SIZE);
	return vmap_put(x, &c->names, sni_name(sni), &name->version, e);
}

/* A name that is withheld may go on referring to what its newest version does not. */
static int check_unused(struct certs *c, struct vmap_txn *x, const struct withheld *w,
			const struct vmap_entry *entry, struct err *e)
{
	(void)c;
	(void)x;
	if (entry->pending && entry->pending->absent &&
	    (int64_t)entry->uses + entry->uses_change != 0 && !withheld_any(w, TABLES_SNI))
		return err_set(e, ERR_INVALID, "removed while names still refer to it");
	return 0;
}

typedef int resolve_fn(struct certs *c, struct vmap_txn *x, const struct withheld *w,
		       const struct vmap_entry *entry, struct err *e);

struct resolve {
	const struct withheld *withheld;
	unsigned char *culprit;
};

/* Runs fn for each changed entry of one map among the first n that were touched. */
static int resolve_pass(struct certs *c, struct vmap_txn *x, const struct vmap *map, size_t n,
			resolve_fn *fn, const struct resolve *r, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		const struct vmap_entry *entry = x->touched[i].entry;

		if (x->touched[i].map != map || !entry->pending ||
		    fn(c, x, r->withheld, entry, e) == 0)
			continue;
		memcpy(r->culprit, entry->key, CERTS_ID_SIZE);
		return -1;
	}
	return 0;
}

int certs_resolve(struct certs *c, struct vmap_txn *x, const struct withheld *w, bool *is_sni,
		  unsigned char culprit[CERTS_ID_SIZE], struct err *e)
{
	size_t n = x->count; /* what the passes append is derived */
	const struct resolve r = {w, culprit};

	*is_sni = true;
	if (resolve_pass(c, x, &c->snis, n, release_old, &r, e) != 0 ||
	    resolve_pass(c, x, &c->snis, n, claim_new, &r, e) != 0)
		return -1;
	*is_sni = false;
	return resolve_pass(c, x, &c->certs, x->count, check_unused, &r, e);
}
