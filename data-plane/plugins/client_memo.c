#include "data-plane/plugins/client_memo.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/core/clock.h"

/* owner: the certificate that it is kept at, thread: its worker. */
struct memo {
	struct client_memo_key key;
	STACK_OF(X509) * chain; /* without the leaf: it would keep itself */
};

static int memo_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void memo_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long number,
		      void *arg)
{
	struct memo *m = ptr;

	(void)parent;
	(void)data;
	(void)index;
	(void)number;
	(void)arg;
	if (!m)
		return;
	sk_X509_pop_free(m->chain, X509_free);
	free(m);
}

static void make_index(void)
{
	memo_index = X509_get_ex_new_index(0, NULL, NULL, NULL, memo_free);
}

static struct memo *memo_of(const X509 *leaf)
{
	pthread_once(&once, make_index);
	return memo_index < 0 ? NULL : X509_get_ex_data(leaf, memo_index);
}

static bool in_date(const X509 *cert)
{
	time_t now = (time_t)clock_wall_s();

	return X509_cmp_time(X509_get0_notAfter(cert), &now) > 0 &&
	       X509_cmp_time(X509_get0_notBefore(cert), &now) <= 0;
}

static STACK_OF(X509) * with_leaf(STACK_OF(X509) * behind, X509 *leaf)
{
	STACK_OF(X509) *chain = X509_chain_up_ref(behind);

	if (chain && sk_X509_unshift(chain, leaf) > 0) {
		X509_up_ref(leaf);
		return chain;
	}
	sk_X509_pop_free(chain, X509_free);
	return NULL;
}

bool client_memo_get(X509 *leaf, const struct client_memo_key *key, STACK_OF(X509) * *chain)
{
	const struct memo *m = memo_of(leaf);
	STACK_OF(X509) * whole;

	if (!m || m->key.generation != key->generation || m->key.authorities != key->authorities ||
	    !in_date(leaf))
		return false;
	for (int i = 0; i < sk_X509_num(m->chain); i++)
		if (!in_date(sk_X509_value(m->chain, i)))
			return false;
	if (!chain)
		return true;
	whole = with_leaf(m->chain, leaf);
	if (whole)
		*chain = whole;
	return whole != NULL;
}

void client_memo_put(X509 *leaf, const struct client_memo_key *key, STACK_OF(X509) * chain)
{
	struct memo *old = memo_of(leaf);
	struct memo *m = calloc(1, sizeof(*m));

	if (!m)
		return;
	m->key = *key;
	m->chain = X509_chain_up_ref(chain);
	if (m->chain)
		X509_free(sk_X509_shift(m->chain));
	if (m->chain && memo_index >= 0 && X509_set_ex_data(leaf, memo_index, m))
		m = old; /* which is not there any more */
	memo_free(NULL, m, NULL, 0, 0, NULL);
}
