#include "data-plane/tls/sessions.h"

#include <stdlib.h>
#include <string.h>

struct kept {
	SSL_SESSION *session;
	int64_t until;	/* of what was verified */
	int64_t ticket; /* when the upstream forgets it */
};

struct place {
	struct link link; /* tls_sessions.recent */
	size_t count;
	struct kept kept[SESSIONS_EACH]; /* the newest last */
	size_t key_len;
	char key[];
};

void tls_sessions_init(struct tls_sessions *s, size_t max)
{
	*s = (struct tls_sessions){.max = max};
	map_init(&s->map);
	list_init(&s->recent);
}

static void place_free(struct tls_sessions *s, struct place *p)
{
	map_remove(&s->map, (struct str){p->key, p->key_len});
	list_remove(&p->link);
	for (size_t i = 0; i < p->count; i++)
		SSL_SESSION_free(p->kept[i].session);
	free(p);
}

static struct place *place_of(struct link *it)
{
	return container_of(it, struct place, link);
}

void tls_sessions_deinit(struct tls_sessions *s)
{
	while (!list_empty(&s->recent))
		place_free(s, place_of(list_first(&s->recent)));
	map_deinit(&s->map);
	buf_deinit(&s->key);
}

/* The address has one form: its text. */
static int make_key(struct tls_sessions *s, struct str identity, const struct addr *addr)
{
	char text[ADDR_TEXT_SIZE];

	addr_text(addr, text, sizeof(text));
	buf_clear(&s->key);
	return buf_add_str(&s->key, str_from(text), NULL) == 0 &&
			       buf_add(&s->key, "", 1, NULL) == 0 &&
			       buf_add_str(&s->key, identity, NULL) == 0
		       ? 0
		       : -1;
}

static struct place *place_make(struct tls_sessions *s)
{
	struct str key = buf_str(&s->key);
	struct place *p = calloc(1, sizeof(*p) + key.len);

	if (!p)
		return NULL;
	memcpy(p->key, key.ptr, key.len);
	p->key_len = key.len;
	if (map_put(&s->map, key, p, NULL, NULL) != 0) {
		free(p);
		return NULL;
	}
	list_push_front(&s->recent, &p->link);
	if (s->map.count > s->max) {
		place_free(s, place_of(list_last(&s->recent)));
		s->evicted++;
	}
	return p;
}

static void drop_at(struct place *p, size_t i)
{
	SSL_SESSION_free(p->kept[i].session);
	memmove(&p->kept[i], &p->kept[i + 1], (p->count - i - 1) * sizeof(p->kept[0]));
	p->count--;
}

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* What the upstream says of its ticket, else what OpenSSL takes. */
static int64_t ticket_seconds(const SSL_SESSION *session)
{
	unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(session);
	int64_t seconds = hint > 0 && hint < SESSIONS_MAX_SECONDS
				  ? (int64_t)hint
				  : (int64_t)SSL_SESSION_get_timeout(session);

	return smaller(seconds, SESSIONS_MAX_SECONDS);
}

void tls_sessions_put(struct tls_sessions *s, struct str identity, const struct addr *addr,
		      const SSL_SESSION *session, int64_t now, int64_t until)
{
	struct place *p;
	SSL_SESSION *copy;

	if (s->max == 0 || until <= now || !SSL_SESSION_is_resumable(session) ||
	    make_key(s, identity, addr) != 0)
		return;
	p = map_get(&s->map, buf_str(&s->key));
	if (!p)
		p = place_make(s);
	/* The connection's own would not be good any more once that ends without close_notify. */
	copy = p ? SSL_SESSION_dup(session) : NULL;
	if (!copy) {
		if (p && p->count == 0)
			place_free(s, p);
		return;
	}
	if (p->count == SESSIONS_EACH)
		drop_at(p, 0);
	p->kept[p->count++] = (struct kept){copy, until, now + ticket_seconds(session)};
	list_remove(&p->link);
	list_push_front(&s->recent, &p->link);
}

static SSL_SESSION *take_from(struct place *p, int64_t now, int64_t *until)
{
	while (p->count > 0) {
		struct kept *k = &p->kept[p->count - 1];

		if (smaller(k->until, k->ticket) > now) {
			*until = k->until;
			if (SSL_SESSION_get_protocol_version(k->session) < TLS1_3_VERSION)
				return SSL_SESSION_dup(k->session);
			p->count--;
			return k->session;
		}
		drop_at(p, p->count - 1);
	}
	return NULL;
}

SSL_SESSION *tls_sessions_take(struct tls_sessions *s, struct str identity, const struct addr *addr,
			       int64_t now, int64_t *until)
{
	SSL_SESSION *out;
	struct place *p;

	if (s->map.count == 0 || make_key(s, identity, addr) != 0)
		return NULL;
	p = map_get(&s->map, buf_str(&s->key));
	if (!p)
		return NULL;
	out = take_from(p, now, until);
	if (p->count == 0) {
		place_free(s, p);
		return out;
	}
	list_remove(&p->link);
	list_push_front(&s->recent, &p->link);
	return out;
}

void tls_sessions_forget(struct tls_sessions *s, struct str identity, const struct addr *addr)
{
	struct place *p = NULL;

	if (s->map.count > 0 && make_key(s, identity, addr) == 0)
		p = map_get(&s->map, buf_str(&s->key));
	if (p)
		place_free(s, p);
}

size_t tls_sessions_count(const struct tls_sessions *s)
{
	return s->map.count;
}
