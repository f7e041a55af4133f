#include "data-plane/tables/challenges.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = CHALLENGE_HOST_MAX + 1 + CHALLENGE_TOKEN_MAX };

static_assert((int)KEY_MAX <= (int)VMAP_KEY_MAX, "a challenge's key fits");

/* As it came: the key of `live`, then the key authorization. */
struct staged {
	struct version version;
	uint16_t key_len, len;
	char bytes[];
};

static struct staged *staged_of(struct version *v)
{
	return v ? container_of(v, struct staged, version) : NULL;
}

static const struct challenge *challenge_of(const struct version *v)
{
	return v ? container_of((struct version *)(uintptr_t)v, struct challenge, version) : NULL;
}

static struct str id_str(const unsigned char id[CHALLENGE_ID_SIZE])
{
	return (struct str){(const char *)id, CHALLENGE_ID_SIZE};
}

static struct str key_make(char out[KEY_MAX], struct str host, struct str token)
{
	memcpy(out, host.ptr, host.len);
	out[host.len] = '\0';
	memcpy(out + host.len + 1, token.ptr, token.len);
	return (struct str){out, host.len + 1 + token.len};
}

static void free_staged(struct version *v, void *arg)
{
	(void)arg;
	free(staged_of(v));
}

static void free_challenge(struct version *v, void *arg)
{
	(void)arg;
	free(container_of(v, struct challenge, version));
}

int challenges_init(struct challenges *c, struct err *e)
{
	memset(c, 0, sizeof(*c));
	if (vmap_init(&c->live, free_challenge, NULL, e) == 0 &&
	    vmap_init(&c->ids, free_staged, NULL, e) == 0)
		return 0;
	challenges_deinit(c);
	return -1;
}

void challenges_deinit(struct challenges *c)
{
	vmap_deinit(&c->ids);
	vmap_deinit(&c->live);
}

const struct challenge *challenges_find(const struct challenges *c, uint64_t generation,
					struct str host, struct str token)
{
	char key[KEY_MAX];

	if (host.len > CHALLENGE_HOST_MAX || token.len == 0 || token.len > CHALLENGE_TOKEN_MAX)
		return NULL;
	return challenge_of(vmap_get(&c->live, key_make(key, host, token), generation));
}

static bool base64url(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char ch = s.ptr[i];

		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
		      (ch >= '0' && ch <= '9') || ch == '-' || ch == '_'))
			return false;
	}
	return s.len > 0;
}

static int check(struct str host, struct str token, struct str key_authorization, struct err *e)
{
	if (host.len == 0 || host.len > CHALLENGE_HOST_MAX)
		return err_set(e, ERR_INVALID, "host of %zu bytes: 1 to %d are allowed", host.len,
			       CHALLENGE_HOST_MAX);
	for (size_t i = 0; i < host.len; i++)
		if (host.ptr[i] <= ' ' || host.ptr[i] == 127 ||
		    host.ptr[i] != ascii_lower(host.ptr[i]))
			return err_set(e, ERR_INVALID, "host is not a lower-case name");
	if (token.len > CHALLENGE_TOKEN_MAX || !base64url(token))
		return err_set(e, ERR_INVALID, "token is not 1 to %d base64url characters",
			       CHALLENGE_TOKEN_MAX);
	if (key_authorization.len == 0 || key_authorization.len > CHALLENGE_AUTHORIZATION_MAX)
		return err_set(e, ERR_INVALID, "key authorization of %zu bytes: 1 to %d",
			       key_authorization.len, CHALLENGE_AUTHORIZATION_MAX);
	return 0;
}

int challenges_put(struct challenges *c, struct vmap_txn *x,
		   const unsigned char id[CHALLENGE_ID_SIZE], struct str host, struct str token,
		   struct str key_authorization, struct err *e)
{
	char buffer[KEY_MAX];
	struct vmap_entry *entry;
	const struct staged *now;
	struct staged *s;
	struct str key;

	if (check(host, token, key_authorization, e) != 0 ||
	    vmap_touch(x, &c->ids, id_str(id), &entry, e) != 0)
		return -1;
	key = key_make(buffer, host, token);
	now = staged_of(vmap_current(entry));
	if (!entry->pending && now && str_eq(key, (struct str){now->bytes, now->key_len}) &&
	    str_eq(key_authorization, (struct str){now->bytes + now->key_len, now->len}))
		return 0;
	s = calloc(1, sizeof(*s) + key.len + key_authorization.len);
	if (!s)
		return err_memory(e, "storing a challenge");
	s->key_len = (uint16_t)key.len;
	s->len = (uint16_t)key_authorization.len;
	memcpy(s->bytes, key.ptr, key.len);
	memcpy(s->bytes + key.len, key_authorization.ptr, key_authorization.len);
	return vmap_put(x, &c->ids, id_str(id), &s->version, e);
}

int challenges_remove(struct challenges *c, struct vmap_txn *x,
		      const unsigned char id[CHALLENGE_ID_SIZE], struct err *e)
{
	return vmap_remove(x, &c->ids, id_str(id), e);
}

int challenges_sweep(struct challenges *c, struct vmap_txn *x, struct err *e)
{
	return vmap_sweep(x, &c->ids, e);
}

static int release_old(struct challenges *c, struct vmap_txn *x, const struct vmap_entry *entry,
		       struct err *e)
{
	const struct staged *old = staged_of(vmap_current(entry));

	return old ? vmap_remove(x, &c->live, (struct str){old->bytes, old->key_len}, e) : 0;
}

static int claim_new(struct challenges *c, struct vmap_txn *x, const struct vmap_entry *entry,
		     struct err *e)
{
	const struct staged *s = staged_of(vmap_staged(entry));
	struct challenge *live;
	struct str key;

	if (!s)
		return 0;
	key = (struct str){s->bytes, s->key_len};
	if (vmap_staged(vmap_find(&c->live, key)))
		return err_set(e, ERR_CONFLICT, "another challenge has the same host and token");
	live = calloc(1, sizeof(*live) + s->len);
	if (!live)
		return err_memory(e, "storing a challenge");
	memcpy(live->id, entry->key, CHALLENGE_ID_SIZE);
	live->len = s->len;
	memcpy(live->key_authorization, s->bytes + s->key_len, s->len);
	return vmap_put(x, &c->live, key, &live->version, e);
}

/* Calls fn for the staged challenges among the transaction's first n entries. */
static int each_staged(struct challenges *c, struct vmap_txn *x, size_t n,
		       int (*fn)(struct challenges *c, struct vmap_txn *x,
				 const struct vmap_entry *entry, struct err *e),
		       unsigned char culprit[CHALLENGE_ID_SIZE], struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct vmap_touch t = x->touched[i];

		if (t.map != &c->ids || !t.entry->pending || fn(c, x, t.entry, e) == 0)
			continue;
		memcpy(culprit, t.entry->key, CHALLENGE_ID_SIZE);
		return -1;
	}
	return 0;
}

int challenges_resolve(struct challenges *c, struct vmap_txn *x,
		       unsigned char culprit[CHALLENGE_ID_SIZE], struct err *e)
{
	size_t n = x->count; /* what is appended below is derived */

	if (each_staged(c, x, n, release_old, culprit, e) < 0)
		return -1;
	return each_staged(c, x, n, claim_new, culprit, e);
}
