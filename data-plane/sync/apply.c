#include "data-plane/sync/apply.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "common/core/clock.h"
#include "common/core/log.h"
#include "common/pki/cert.h"
#include "common/pki/signer.h"
#include "data-plane/sync/apply_entities.h"
#include "data-plane/sync/cache.h"
#include "data-plane/sync/decode.h"
#include "data-plane/sync/suspects.h"
#include "data-plane/sync/verification.h"
#include "data-plane/tables/tables.h"

struct apply {
	struct tables *tables;
	struct cache *cache;
	struct suspects *suspects; /* NULL: none are noted */
	struct signer *signer;	   /* checks most certificates */
	char epoch[EPOCH_MAX + 1]; /* held */
	uint64_t revision;	   /* held */
	char snapshot_epoch[EPOCH_MAX + 1];
	uint64_t snapshot_revision;
	bool open;     /* something was staged, or a snapshot began */
	bool snapshot; /* what is staged replaces everything */
	bool refused;  /* a change was refused: only a rollback may follow */
	bool verify;   /* sync/verification.h */
	bool loading;  /* from the cache: was checked before it was written */
};

struct apply *apply_create(struct tables *t, struct cache *c)
{
	struct apply *a = calloc(1, sizeof(*a));
	struct err e = ERR_INIT;

	if (!a)
		return NULL;
	a->tables = t;
	a->cache = c;
	if (signer_create(&a->signer, &e) == 0)
		return a;
	log_error("certificates cannot be checked", log_err(&e));
	free(a);
	return NULL;
}

void apply_free(struct apply *a)
{
	if (!a)
		return;
	if (a->open)
		apply_rollback(a);
	signer_free(a->signer);
	free(a);
}

const char *apply_epoch(const struct apply *a)
{
	return a->epoch;
}

uint64_t apply_revision(const struct apply *a)
{
	return a->revision;
}

void apply_set_cache(struct apply *a, struct cache *c)
{
	a->cache = c;
}

void apply_watch(struct apply *a, struct suspects *s)
{
	a->suspects = s;
}

void apply_enforce_verification(struct apply *a)
{
	a->verify = true;
}

static bool caching(const struct apply *a)
{
	return a->cache && !a->loading;
}

int apply_begin_snapshot(struct apply *a, struct str epoch, uint64_t revision, struct err *e)
{
	if (epoch.len == 0 || epoch.len > EPOCH_MAX || memchr(epoch.ptr, '\0', epoch.len))
		return err_set(e, ERR_INVALID, "epoch must have 1 to %d bytes", EPOCH_MAX);
	if (a->open)
		apply_rollback(a);
	memcpy(a->snapshot_epoch, epoch.ptr, epoch.len);
	a->snapshot_epoch[epoch.len] = '\0';
	a->snapshot_revision = revision;
	a->open = true;
	a->snapshot = true;
	tables_begin(a->tables, true);
	if (caching(a))
		cache_begin_snapshot(a->cache, epoch);
	return 0;
}

/* --- one change --- */

/* What the quick check does not take may still be right, and the thorough one says what is wrong.
 */
static int check_pair(struct apply *a, const struct change_pair *p, struct err *e)
{
	struct err refused = ERR_INIT;

	if (signer_takes(p->key) &&
	    signer_check(a->signer, p->leaf, p->chain, p->chain_count, p->key, &refused) == 0)
		return 0;
	return cert_pair_check_der(p->leaf, p->chain, p->chain_count, p->key, e);
}

static int put_certificate(struct apply *a, const struct change *c, struct err *e)
{
	struct cert_source pairs[CHANGE_PAIRS_MAX];

	if (c->u.certificate.count > CHANGE_PAIRS_MAX)
		return err_set(e, ERR_INVALID, "more than %d key pairs", CHANGE_PAIRS_MAX);
	for (size_t i = 0; i < c->u.certificate.count; i++) {
		const struct change_pair *p = &c->u.certificate.pairs[i];

		pairs[i] =
			(struct cert_source){p->leaf, p->chain, p->chain_count, p->key, p->staple};
		if (!a->loading && check_pair(a, p, e) != 0)
			return -1;
	}
	return certs_put(&a->tables->certs, &a->tables->txn, c->id, pairs, c->u.certificate.count,
			 e);
}

static int put_sni(struct apply *a, const struct change *c, struct err *e)
{
	uint16_t minimum = c->u.sni.tls_min_version;

	if (minimum && minimum != TLS1_2_VERSION && minimum != TLS1_3_VERSION)
		return err_set(e, ERR_INVALID, "tls_min_version 0x%04x is not known", minimum);
	return certs_put_sni(&a->tables->certs, &a->tables->txn, c->id, c->u.sni.name,
			     c->u.sni.certificate_id, minimum, e);
}

static int put_challenge(struct apply *a, const struct change *c, struct err *e)
{
	return challenges_put(&a->tables->challenges, &a->tables->txn, c->id, c->u.challenge.host,
			      c->u.challenge.token, c->u.challenge.key_authorization, e);
}

static int put_ticket(struct apply *a, const struct change *c, struct err *e)
{
	return tickets_put(&a->tables->tickets, &a->tables->txn, c->id, c->u.ticket.secret,
			   c->u.ticket.not_before, e);
}

static int remove_certificate(struct apply *a, const struct change *c, struct err *e)
{
	return certs_remove(&a->tables->certs, &a->tables->txn, c->id, e);
}

static int remove_sni(struct apply *a, const struct change *c, struct err *e)
{
	return certs_remove_sni(&a->tables->certs, &a->tables->txn, c->id, e);
}

static int remove_challenge(struct apply *a, const struct change *c, struct err *e)
{
	return challenges_remove(&a->tables->challenges, &a->tables->txn, c->id, e);
}

static int remove_ticket(struct apply *a, const struct change *c, struct err *e)
{
	return tickets_remove(&a->tables->tickets, &a->tables->txn, c->id, e);
}

/* --- the others: see apply_entities.h --- */

static int put_route(struct apply *a, const struct change *c, struct err *e)
{
	return apply_put_route(a->tables, c, e);
}

static int remove_route(struct apply *a, const struct change *c, struct err *e)
{
	return routes_remove(&a->tables->routes, &a->tables->txn, c->id, e);
}

static int put_entity(struct apply *a, const struct change *c, struct err *e)
{
	return apply_put_entity(a->tables, c, e);
}

static int remove_entity(struct apply *a, const struct change *c, struct err *e)
{
	return apply_remove_entity(a->tables, c, e);
}

typedef int change_fn(struct apply *a, const struct change *c, struct err *e);

static const struct {
	enum tables_kind kind;
	change_fn *put, *remove;
} kinds[CHANGE_KINDS] = {
	[CHANGE_CERTIFICATE] = {TABLES_CERTIFICATE, put_certificate, remove_certificate},
	[CHANGE_SNI] = {TABLES_SNI, put_sni, remove_sni},
	[CHANGE_CHALLENGE] = {TABLES_CHALLENGE, put_challenge, remove_challenge},
	[CHANGE_TICKET_SECRET] = {TABLES_TICKET, put_ticket, remove_ticket},
	[CHANGE_ROUTE] = {TABLES_ROUTE, put_route, remove_route},
	[CHANGE_SERVICE] = {TABLES_SERVICE, put_entity, remove_entity},
	[CHANGE_UPSTREAM] = {TABLES_UPSTREAM, put_entity, remove_entity},
	[CHANGE_TARGET] = {TABLES_TARGET, put_entity, remove_entity},
	[CHANGE_CONSUMER] = {TABLES_CONSUMER, put_entity, remove_entity},
	[CHANGE_PLUGIN] = {TABLES_PLUGIN, put_entity, remove_entity},
	[CHANGE_CA_CERTIFICATE] = {TABLES_CA_CERTIFICATE, put_entity, remove_entity},
	[CHANGE_MTLS_CREDENTIAL] = {TABLES_MTLS_CREDENTIAL, put_entity, remove_entity},
	[CHANGE_HEADER_CREDENTIAL] = {TABLES_HEADER_CREDENTIAL, put_entity, remove_entity},
};

static int hold(struct apply *a, const struct change *c, struct err *e)
{
	enum tables_kind kind = kinds[c->kind].kind;

	if (a->suspects && c->held)
		suspects_told(a->suspects, c->kind, c->id);
	if (withheld_add(&a->tables->withheld, kind, c->id, e) != 0)
		return -1;
	return a->snapshot ? tables_keep(a->tables, kind, c->id, e) : 0;
}

static int put_or_remove(struct apply *a, const struct change *c, struct err *e)
{
	if ((c->removed ? kinds[c->kind].remove : kinds[c->kind].put)(a, c, e) != 0)
		return -1;
	return withheld_remove(&a->tables->withheld, kinds[c->kind].kind, c->id, e);
}

/* Notes what is about to be applied; what this process died of before is not applied again. */
static int watched(struct apply *a, const struct change *c, struct err *e)
{
	if (c->held)
		return hold(a, c, e);
	if (!a->suspects)
		return put_or_remove(a, c, e);
	if (suspects_refuses(a->suspects, c->kind, c->id, c->encoded))
		return a->loading ? hold(a, c, e)
				  : err_set(e, ERR_INVALID,
					    "this node crashed repeatedly after it was given it");
	if (!a->loading)
		suspects_note(a->suspects, c->kind, c->id, c->encoded, clock_mono_ns() / 1000000);
	return put_or_remove(a, c, e);
}

int apply_change(struct apply *a, const struct change *c, struct err *e)
{
	if (a->refused)
		return err_set(e, ERR_INVALID, "an earlier change of this revision was refused");
	if ((unsigned)c->kind >= CHANGE_KINDS)
		return err_set(e, ERR_INVALID, "entity of unknown kind %u", (unsigned)c->kind);
	if (!a->open) {
		a->open = true;
		tables_begin(a->tables, false);
	}
	/* From the cache it is taken: connections are verified all the same (tls/origin.h). */
	if ((a->verify && !a->loading && !c->removed && !c->held &&
	     verification_check(c, e) != 0) ||
	    watched(a, c, e) != 0) {
		a->refused = true;
		return err_prefix(e, "%s", change_kind_name(c->kind));
	}
	if (caching(a))
		cache_change(a->cache, c->encoded);
	return 0;
}

/* --- the end of a revision --- */

static const char *const culprit_names[] = {
	[TABLES_NONE] = "",
	[TABLES_CERTIFICATE] = "certificates",
	[TABLES_SNI] = "snis",
	[TABLES_CHALLENGE] = "acme_challenges",
	[TABLES_TICKET] = "ticket_secrets",
	[TABLES_ROUTE] = "routes",
	[TABLES_SERVICE] = "services",
	[TABLES_UPSTREAM] = "upstreams",
	[TABLES_TARGET] = "targets",
	[TABLES_CONSUMER] = "consumers",
	[TABLES_PLUGIN] = "plugins",
	[TABLES_CA_CERTIFICATE] = "ca_certificates",
	[TABLES_MTLS_CREDENTIAL] = "mtls_auth_credentials",
	[TABLES_HEADER_CREDENTIAL] = "header_cert_auth_credentials",
};

static_assert(array_len(culprit_names) == TABLES_KINDS, "each has its name");

static int check_revision(const struct apply *a, struct str epoch, uint64_t revision, struct err *e)
{
	if (a->refused)
		return err_set(e, ERR_INVALID, "a change of this revision was refused");
	if (a->snapshot)
		return str_eq(epoch, str_from(a->snapshot_epoch)) &&
				       revision >= a->snapshot_revision
			       ? 0
			       : err_set(e, ERR_INVALID,
					 "commit is not of the snapshot that began");
	if (a->epoch[0] == '\0')
		return err_set(e, ERR_INVALID, "a delta came before any snapshot");
	if (!str_eq(epoch, str_from(a->epoch)))
		return err_set(e, ERR_INVALID, "delta of epoch %.*s, %s is held", (int)epoch.len,
			       epoch.ptr, a->epoch);
	if (revision <= a->revision)
		return err_set(e, ERR_INVALID, "revision %llu does not follow %llu",
			       (unsigned long long)revision, (unsigned long long)a->revision);
	return 0;
}

int apply_commit(struct apply *a, struct str epoch, uint64_t revision,
		 struct apply_culprit *culprit, struct err *e)
{
	struct tables_culprit at = {.kind = TABLES_NONE};

	if (culprit)
		*culprit = (struct apply_culprit){.kind = ""};
	if (epoch.len == 0 || epoch.len > EPOCH_MAX)
		return err_set(e, ERR_INVALID, "epoch must have 1 to %d bytes", EPOCH_MAX);
	if (check_revision(a, epoch, revision, e) != 0)
		return -1;
	if (!a->open)
		tables_begin(a->tables, false);
	if (tables_commit(a->tables, &at, e) != 0) {
		a->refused = true;
		if (culprit) {
			culprit->kind = culprit_names[at.kind];
			memcpy(culprit->id, at.id, sizeof(culprit->id));
		}
		return -1;
	}
	memcpy(a->epoch, epoch.ptr, epoch.len);
	a->epoch[epoch.len] = '\0';
	a->revision = revision;
	a->open = false;
	a->snapshot = false;
	if (caching(a))
		cache_commit(a->cache, revision);
	return 0;
}

void apply_rollback(struct apply *a)
{
	tables_abort(a->tables);
	if (caching(a))
		cache_rollback(a->cache);
	a->open = false;
	a->snapshot = false;
	a->refused = false;
}

/* --- suspects --- */

bool apply_suspect(struct apply *a, struct apply_culprit *culprit, struct err *why)
{
	unsigned kind;

	if (!a->suspects || !suspects_next(a->suspects, &kind, culprit->id))
		return false;
	culprit->kind = change_kind_name((enum change_kind)kind);
	(void)err_set(why, ERR_INVALID, "%s: this node crashed repeatedly after it was given it",
		      culprit->kind);
	return true;
}

void apply_restart(struct apply *a)
{
	if (a->suspects)
		suspects_restart(a->suspects);
}

/* --- the cache --- */

static int load_begin(struct str epoch, void *arg, struct err *e)
{
	return apply_begin_snapshot(arg, epoch, 0, e);
}

static int load_change(struct str encoded, void *arg, struct err *e)
{
	struct plane_message m;
	int rc;

	if (plane_change_decode(&m, encoded, e) != 0)
		return -1;
	rc = apply_change(arg, &m.change, e);
	plane_message_free(&m);
	return rc;
}

static int load_commit(struct str epoch, uint64_t revision, void *arg, struct err *e)
{
	return apply_commit(arg, epoch, revision, NULL, e);
}

static void load_rollback(void *arg)
{
	apply_rollback(arg);
}

int apply_load(struct apply *a, struct err *e)
{
	const struct cache_loader l = {load_begin, load_change, load_commit, load_rollback, a};
	int rc;

	if (!a->cache)
		return err_set(e, ERR_NOT_FOUND, "no cache is configured");
	a->loading = true;
	rc = cache_load(a->cache, &l, e);
	if (a->open)
		apply_rollback(a);
	a->loading = false;
	return rc;
}
