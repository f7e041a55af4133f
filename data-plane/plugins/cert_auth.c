#include "data-plane/plugins/cert_auth.h"

#include <string.h>

#include "common/core/codec.h"
#include "common/core/log.h"
#include "data-plane/plugins/client_cert.h"
#include "data-plane/plugins/client_memo.h"
#include "data-plane/tables/fields.h"

/* Kong's texts. */
#define NOT_SENT "No required TLS certificate was sent"
#define NOT_VERIFIED "TLS certificate failed verification"
#define UNEXPECTED "An unexpected error occurred"

enum { TIMEOUT_MS = 30 * 1000, TTL_MS = 60 * 1000 };

const char *const cert_auth_fields[] = {
	"x-consumer-id",	"x-consumer-custom-id",
	"x-consumer-username",	"x-credential-identifier",
	"x-anonymous-consumer", "x-client-cert-dn",
	"x-client-cert-san",	NULL,
};

/* --- configuration --- */

static const struct {
	struct str name;
	enum revocation_mode mode;
} modes[] = {
	{{"SKIP", 4}, REVOCATION_SKIP},
	{{"IGNORE_CA_ERROR", 15}, REVOCATION_IGNORE_CA_ERROR},
	{{"STRICT", 6}, REVOCATION_STRICT},
};

static int read_mode(struct cert_auth *c, const struct fields *f, struct err *e)
{
	struct str name = fields_text(f, "revocation_check_mode");

	c->mode = REVOCATION_IGNORE_CA_ERROR;
	if (!name.ptr)
		return 0;
	for (size_t i = 0; i < array_len(modes); i++) {
		if (!str_eq(modes[i].name, name))
			continue;
		c->mode = modes[i].mode;
		return 0;
	}
	return err_set(e, ERR_INVALID, "revocation_check_mode: \"%.*s\" is not known",
		       name.len > 32 ? 32 : (int)name.len, name.ptr);
}

static int read_consumer_by(struct cert_auth *c, const struct fields *f, struct arena *a,
			    struct err *e)
{
	struct fields_texts by = {NULL, 0};

	c->by_username = c->by_custom_id = !fields_has(f, "consumer_by");
	if (fields_texts(f, "consumer_by", a, &by, e) < 0)
		return -1;
	for (size_t i = 0; i < by.count; i++) {
		if (str_eq(by.items[i], STR("username")))
			c->by_username = true;
		else if (str_eq(by.items[i], STR("custom_id")))
			c->by_custom_id = true;
		else
			return err_set(e, ERR_INVALID,
				       "consumer_by: neither username nor custom_id");
	}
	return 0;
}

static int read_how(struct revocation_how *how, const struct fields *f, struct arena *a,
		    struct err *e)
{
	double timeout = fields_number(f, "http_timeout", TIMEOUT_MS);
	double ttl = fields_number(f, "cert_cache_ttl", TTL_MS);
	int64_t port = fields_integer(f, "http_proxy_port", 0);
	struct str host = fields_text(f, "http_proxy_host");

	if (!(timeout >= 1 && timeout <= UINT32_MAX) || !(ttl >= 0 && ttl <= UINT32_MAX))
		return err_set(e, ERR_INVALID, "http_timeout or cert_cache_ttl is out of range");
	if (host.ptr && (port <= 0 || port > UINT16_MAX))
		return err_set(e, ERR_INVALID, "http_proxy_host without a port");
	how->timeout_ms = (uint64_t)timeout;
	how->ttl_ms = (uint64_t)ttl;
	how->ssl_verify = fields_flag(f, "ssl_verify", true);
	how->proxy_port = (uint16_t)port;
	if (!host.ptr)
		return 0;
	how->proxy_host = arena_str(a, host).ptr;
	return how->proxy_host ? 0 : err_memory(e, "a plugin");
}

static int read_text(struct str *out, const struct fields *f, const char *name, struct arena *a,
		     struct err *e)
{
	struct str text = fields_text(f, name);

	*out = text.len ? arena_str(a, text) : STR_NONE;
	return text.len && !out->ptr ? err_memory(e, "a plugin") : 0;
}

int cert_auth_configure(struct cert_auth *out, const struct fields *f, struct arena *a,
			struct err *e)
{
	struct cert_auth c = {
		.skip_consumer_lookup = fields_flag(f, "skip_consumer_lookup", false),
		.allow_partial_chain = fields_flag(f, "allow_partial_chain", false),
	};

	if (fields_ids(f, "ca_certificates", a, &c.authorities, &c.authority_count, e) < 0)
		return -1;
	if (c.authority_count == 0)
		return err_set(e, ERR_INVALID, "ca_certificates: there is none");
	if (read_text(&c.anonymous, f, "anonymous", a, e) < 0 ||
	    read_text(&c.default_consumer, f, "default_consumer", a, e) < 0 ||
	    read_mode(&c, f, e) < 0 || read_consumer_by(&c, f, a, e) < 0 ||
	    read_how(&c.how, f, a, e) < 0)
		return -1;
	*out = c;
	return 0;
}

/* --- consumers --- */

static const struct entities *entities_of(const struct request *r)
{
	return &request_tables(r)->entities;
}

static const struct consumer *consumer_named(const struct request *r, uint64_t generation,
					     struct str id_or_name)
{
	unsigned char id[ENTITY_ID_SIZE];

	if (!uuid_is(id_or_name))
		return consumer_by_username(entities_of(r), generation, id_or_name);
	uuid_bytes(id_or_name, id);
	return consumer_find(entities_of(r), generation, id);
}

/* Whether the way from the certificate to its anchor leads over this authority. */
static bool is_issued_below(const struct request *r, uint64_t generation, STACK_OF(X509) * chain,
			    const unsigned char id[ENTITY_ID_SIZE])
{
	const struct ca_certificate *ca = ca_certificate_find(entities_of(r), generation, id);

	for (int i = 1; ca && i < sk_X509_num(chain); i++)
		if (X509_cmp(sk_X509_value(chain, i), ca->x509) == 0)
			return true;
	return false;
}

/* Mappings by hand: those of an authority, or those of none. */
static const struct cert_credential *mapping_of(const struct request *r, uint64_t generation,
						enum entities_kind kind,
						const struct client_cert_names *names,
						STACK_OF(X509) * chain, bool of_authority)
{
	for (size_t i = 0; i < names->count; i++) {
		const struct entity_list *l =
			cert_credentials_named(entities_of(r), generation, kind, names->items[i]);

		for (size_t k = 0; l && k < l->count; k++) {
			const struct cert_credential *m =
				entity_of(l->items[k], struct cert_credential);

			if (of_authority == (m->ca_certificate != NULL) &&
			    (!m->ca_certificate ||
			     is_issued_below(r, generation, chain, m->ca_certificate)))
				return m;
		}
	}
	return NULL;
}

/* The consumer that the certificate is mapped to by hand; id is the mapping's. */
static const struct consumer *mapped_by_hand(const struct request *r, uint64_t generation,
					     enum entities_kind kind,
					     const struct client_cert_names *names,
					     STACK_OF(X509) * chain, char id[UUID_TEXT_SIZE])
{
	const struct cert_credential *m = mapping_of(r, generation, kind, names, chain, true);

	if (!m)
		m = mapping_of(r, generation, kind, names, chain, false);
	if (!m)
		return NULL;
	uuid_text(m->entity.id, id);
	return consumer_find(entities_of(r), generation, m->consumer);
}

/* The first that has one of the names; *name is set. */
static const struct consumer *consumer_of(const struct request *r, uint64_t generation,
					  const struct cert_auth *c,
					  const struct client_cert_names *names, struct str *name)
{
	for (size_t i = 0; i < names->count; i++) {
		const struct consumer *found = NULL;

		if (c->by_username)
			found = consumer_by_username(entities_of(r), generation, names->items[i]);
		if (!found && c->by_custom_id)
			found = consumer_by_custom_id(entities_of(r), generation, names->items[i]);
		if (!found)
			continue;
		*name = names->items[i];
		return found;
	}
	return NULL;
}

/* An absent value takes the field away. */
static int set_or_remove(struct request *r, struct str name, struct str value)
{
	if (!value.ptr) {
		request_remove_field(r, name);
		return 0;
	}
	value = arena_str(request_arena(r), value);
	return value.ptr ? request_set_field(r, name, value) : -1;
}

static enum plugin_verdict unexpected(struct request *r)
{
	request_answer_message(r, 500, STR(UNEXPECTED));
	return PLUGIN_ANSWERED;
}

/* credential STR_NONE: it stands for nobody, or for the default. */
static enum plugin_verdict let_in(struct request *r, const struct consumer *c, bool anonymous,
				  struct str credential)
{
	char id[UUID_TEXT_SIZE];

	uuid_text(c->entity.id, id);
	if (set_or_remove(r, STR("x-consumer-id"), str_from(id)) < 0 ||
	    set_or_remove(r, STR("x-consumer-custom-id"), c->custom_id) < 0 ||
	    set_or_remove(r, STR("x-consumer-username"), c->username) < 0 ||
	    set_or_remove(r, STR("x-credential-identifier"), credential) < 0 ||
	    set_or_remove(r, STR("x-anonymous-consumer"), anonymous ? STR("true") : STR_NONE) < 0 ||
	    request_set_consumer(r, c, anonymous) < 0)
		return unexpected(r);
	return PLUGIN_NEXT;
}

static enum plugin_verdict refuse(struct request *r, uint64_t generation, const struct cert_auth *c,
				  struct str message)
{
	const struct consumer *anonymous;

	if (!c->anonymous.ptr) {
		request_answer_message(r, 401, message);
		return PLUGIN_ANSWERED;
	}
	anonymous = consumer_named(r, generation, c->anonymous);
	if (!anonymous) {
		log_error("the anonymous consumer does not exist",
			  log_strn("consumer", c->anonymous.ptr, c->anonymous.len));
		return unexpected(r);
	}
	return let_in(r, anonymous, true, STR_NONE);
}

/* --- the certificate --- */

static struct str joined(struct arena *a, const struct client_cert_names *names)
{
	size_t size = 1, n = 0;
	char *out;

	for (size_t i = 0; i < names->count; i++)
		size += names->items[i].len + 1;
	out = arena_alloc(a, size);
	if (!out)
		return STR_NONE;
	for (size_t i = 0; i < names->count; i++) {
		if (i > 0)
			out[n++] = ',';
		memcpy(out + n, names->items[i].ptr, names->items[i].len);
		n += names->items[i].len;
	}
	return (struct str){out, n};
}

/* Who it is goes to the upstream, and nobody looks for a consumer. */
static enum plugin_verdict let_in_certificate(struct request *r, X509 *leaf,
					      const struct client_cert_names *names)
{
	struct arena *a = request_arena(r);

	if (set_or_remove(r, STR("x-client-cert-dn"),
			  client_cert_dn(X509_get_subject_name(leaf), a)) < 0 ||
	    set_or_remove(r, STR("x-client-cert-san"), joined(a, names)) < 0)
		return unexpected(r);
	return PLUGIN_NEXT;
}

static void log_refusal(const struct request *r, const char *plugin, const char *reason)
{
	struct str id = request_id(r);

	log_info("client certificate refused", log_str("plugin", plugin),
		 log_strn("request", id.ptr, id.len), log_str("error", reason));
}

/* The certificate is good: whose is it? */
static enum plugin_verdict map(struct request *r, uint64_t generation, const struct cert_auth *c,
			       const char *plugin, STACK_OF(X509) * chain)
{
	X509 *leaf = sk_X509_value(chain, 0);
	const struct consumer *found;
	struct client_cert_names names;
	struct str name = STR_NONE;
	char id[UUID_TEXT_SIZE];

	if (client_cert_names(leaf, request_arena(r), &names, NULL) < 0)
		return unexpected(r);
	if (c->skip_consumer_lookup)
		return let_in_certificate(r, leaf, &names);
	found = mapped_by_hand(r, generation, c->credentials, &names, chain, id);
	if (found)
		name = str_from(id);
	else
		found = consumer_of(r, generation, c, &names, &name);
	if (!found && c->default_consumer.ptr)
		found = consumer_named(r, generation, c->default_consumer);
	if (found)
		return let_in(r, found, false, name);
	log_refusal(r, plugin, "no consumer has one of its names");
	return refuse(r, generation, c, STR(NOT_VERIFIED));
}

/* Of a request that waits for a responder: in its arena. */
struct pending {
	struct request *request;
	struct cert_auth config;
	const char *plugin;
	STACK_OF(X509) * chain;
	struct revocation_wait *wait;
};

static enum plugin_verdict decide(struct request *r, uint64_t generation, const struct cert_auth *c,
				  const char *plugin, STACK_OF(X509) * chain,
				  enum revocation_status status)
{
	if (status == REVOCATION_GOOD ||
	    (status == REVOCATION_UNKNOWN && c->mode == REVOCATION_IGNORE_CA_ERROR))
		return map(r, generation, c, plugin, chain);
	log_refusal(r, plugin,
		    status == REVOCATION_REVOKED ? "it was revoked"
						 : "nobody says whether it was revoked");
	return refuse(r, generation, c, STR(NOT_VERIFIED));
}

static void on_status(enum revocation_status status, void *arg)
{
	struct pending *p = arg;
	struct request *r = p->request;
	STACK_OF(X509) *chain = p->chain;

	request_on_gone(r, NULL, NULL);
	/* An answer may be the end of r. */
	if (decide(r, tables_enter(request_tables(r)), &p->config, p->plugin, chain, status) ==
	    PLUGIN_NEXT)
		request_resume(r);
	sk_X509_pop_free(chain, X509_free);
}

static void on_gone(void *arg)
{
	struct pending *p = arg;

	revocation_forget(p->wait);
	sk_X509_pop_free(p->chain, X509_free);
}

/* What is needed of the configuration after the wait; authorities are not. */
static struct pending *make_pending(struct request *r, const struct cert_auth *c,
				    const char *plugin, STACK_OF(X509) * chain)
{
	struct arena *a = request_arena(r);
	struct pending *p = arena_alloc(a, sizeof(*p));

	if (!p)
		return NULL;
	p->request = r;
	p->config = *c;
	p->config.authorities = NULL;
	p->config.authority_count = 0;
	p->config.how.proxy_host = NULL;
	if (c->anonymous.ptr)
		p->config.anonymous = arena_str(a, c->anonymous);
	if (c->default_consumer.ptr)
		p->config.default_consumer = arena_str(a, c->default_consumer);
	p->plugin = plugin;
	if ((c->anonymous.ptr && !p->config.anonymous.ptr) ||
	    (c->default_consumer.ptr && !p->config.default_consumer.ptr))
		return NULL;
	p->chain = X509_chain_up_ref(chain);
	return p->chain ? p : NULL;
}

static enum plugin_verdict ask(struct request *r, const struct cert_auth *c, const char *plugin,
			       STACK_OF(X509) * chain)
{
	struct revocation *known = revocation_of_worker();
	enum revocation_status status = REVOCATION_UNKNOWN;
	struct pending *p;

	if (!known)
		return decide(r, request_generation(r), c, plugin, chain, status);
	p = make_pending(r, c, plugin, chain);
	if (!p)
		return unexpected(r);
	status = revocation_ask(known, chain, &c->how, on_status, p, &p->wait);
	if (p->wait) {
		request_on_gone(r, on_gone, p);
		return PLUGIN_WAITING;
	}
	sk_X509_pop_free(p->chain, X509_free);
	return decide(r, request_generation(r), c, plugin, chain, status);
}

/* Authorities that are not there are not trusted; none at all trusts nobody (TLS-10). */
static int verify(struct request *r, const struct cert_auth *c, X509 *leaf, STACK_OF(X509) * sent,
		  STACK_OF(X509) * *chain, struct err *e)
{
	const struct client_memo_key key = {request_generation(r), c->authorities};
	bool of_connection = leaf == request_certificate(r);
	struct client_cert_trust trust;
	int rc;

	if (of_connection && client_memo_get(leaf, &key, chain))
		return 0;
	trust = (struct client_cert_trust){sk_X509_new_null(), c->allow_partial_chain};
	rc = trust.anchors ? 0 : err_memory(e, "authorities");
	for (size_t i = 0; rc == 0 && i < c->authority_count; i++) {
		const struct ca_certificate *ca = ca_certificate_find(
			entities_of(r), request_generation(r), c->authorities + i * ENTITY_ID_SIZE);

		if (ca && sk_X509_push(trust.anchors, ca->x509) <= 0)
			rc = err_memory(e, "authorities");
	}
	if (rc == 0)
		rc = client_cert_verify(leaf, sent, &trust, chain, e);
	sk_X509_free(trust.anchors);
	if (rc == 0 && of_connection)
		client_memo_put(leaf, &key, *chain);
	return rc;
}

enum plugin_verdict cert_auth_run(struct request *r, const struct cert_auth *c, const char *plugin,
				  X509 *leaf, STACK_OF(X509) * sent, const struct err *why)
{
	STACK_OF(X509) *chain = NULL;
	enum plugin_verdict verdict;
	struct err e = ERR_INIT;

	/* With anonymous set it is enough that one of several plugins knows the client. */
	if (c->anonymous.ptr && request_consumer(r) && !request_is_anonymous(r))
		return PLUGIN_NEXT;
	if (!leaf && !why)
		return refuse(r, request_generation(r), c, STR(NOT_SENT));
	if (!why && verify(r, c, leaf, sent, &chain, &e) < 0)
		why = &e;
	if (why) {
		log_refusal(r, plugin, why->message);
		return refuse(r, request_generation(r), c, STR(NOT_VERIFIED));
	}
	verdict = c->mode == REVOCATION_SKIP ? map(r, request_generation(r), c, plugin, chain)
					     : ask(r, c, plugin, chain);
	sk_X509_pop_free(chain, X509_free);
	return verdict;
}
