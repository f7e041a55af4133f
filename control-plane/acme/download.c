/* The certificate is fetched: the CA's first chain, and the alternates beside it where another one
 * may be wanted; then install.c.
 *
 * Happy path: certificate -> facts -(enough)-> install
 *                               `-> alternate ... -> the best of all -> install
 * An alternate that cannot be had, or that is no chain, is passed over.
 */
#include <stdlib.h>

#include "common/core/log.h"
#include "control-plane/acme/chain.h"
#include "control-plane/acme/engine.h"

enum { ALTERNATES_MAX = 4 };

struct download {
	struct buf best; /* PEM */
	struct chain_facts facts;
	char alternates[ALTERNATES_MAX][ACME_URL_SIZE];
	size_t count, next;
};

void download_free(struct download *d)
{
	if (!d)
		return;
	buf_deinit(&d->best);
	free(d);
}

static struct chain_wish wish_of(const struct order *o)
{
	return (struct chain_wish){.issuer = o->preferred_chain, .anchored = o->acme->roots};
}

static void next_alternate(struct order *o);

static void on_alternate(struct order *o, const struct client_reply *r)
{
	struct download *d = o->download;
	const struct chain_wish wish = wish_of(o);
	struct chain_facts facts;
	struct err e = ERR_INIT;

	if (problem_is_set(&r->problem)) {
		log_info("an alternate chain is passed over", log_str("id", o->id),
			 log_str("detail", r->problem.detail));
	} else if (chain_read(&facts, r->body, o->acme->roots, &e) != 0) {
		log_info("an alternate chain is passed over", log_str("id", o->id), log_err(&e));
	} else if (chain_better(&facts, &d->facts, &wish)) {
		buf_clear(&d->best);
		if (buf_add_str(&d->best, r->body, &e) != 0) {
			order_trouble_err(o, "internal", &e);
			return;
		}
		d->facts = facts;
	}
	next_alternate(o);
}

static void next_alternate(struct order *o)
{
	struct download *d = o->download;

	if (d->next < d->count) {
		order_post(o, CLIENT_CERTIFICATE, d->alternates[d->next++], NULL, on_alternate);
		return;
	}
	if (o->preferred_chain[0] &&
	    !str_eq(str_from(o->preferred_chain), str_from(d->facts.issuer)))
		log_notice("the authority offers no chain of the issuer that is preferred",
			   log_str("id", o->id), log_str("host", o->host),
			   log_str("preferred", o->preferred_chain),
			   log_str("issuer", d->facts.issuer));
	order_install(o, buf_str(&d->best));
}

/* The first chain is kept while the others are looked at. */
static void compare(struct order *o, const struct client_reply *r)
{
	const struct chain_wish wish = wish_of(o);
	struct download *d = calloc(1, sizeof(*d));
	struct err e = ERR_INIT;

	download_free(o->download);
	o->download = d;
	if (!d || buf_add_str(&d->best, r->body, &e) != 0) {
		err_memory(&e, "certificate");
		order_trouble_err(o, "internal", &e);
		return;
	}
	d->count = message_alternates(r->links, d->alternates, ALTERNATES_MAX);
	/* What is wrong with it is for install.c to say. */
	if (d->count == 0 || chain_read(&d->facts, r->body, o->acme->roots, &e) != 0 ||
	    chain_suffices(&d->facts, &wish))
		order_install(o, buf_str(&d->best));
	else
		next_alternate(o);
}

/* A certificate that is wrong fails the order; what is none at all (a proxy's page) comes again. */
static void on_certificate(struct order *o, const struct client_reply *r)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	struct err e = ERR_INIT;

	if (problem_is_set(&r->problem)) {
		order_trouble(o, &r->problem);
	} else if (r->body.len == 0 ||
		   !memmem(r->body.ptr, r->body.len, begin, sizeof(begin) - 1)) {
		err_set(&e, ERR_INVALID, "the CA's answer holds no certificate");
		order_trouble_err(o, "answer", &e);
	} else {
		compare(o, r);
	}
}

void order_download(struct order *o)
{
	order_post(o, CLIENT_CERTIFICATE, o->certificate_url, NULL, on_certificate);
}
