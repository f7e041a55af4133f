/* Happy path: CNAME questions to the resolver until there is none -> SOA: the answer, or the
 * authority section of an answer that says no, names the zone -> its NS and their addresses -> each
 * is asked for TXT, without recursion. */
#include "control-plane/acme/dns_zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 2, LABELS_MAX = 127, DNS_PORT = 53 };

/* --- one question --- */

static ldns_rdf *address_rdf(const struct addr *a)
{
	if (a->u.sa.sa_family == AF_INET)
		return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_A, sizeof(a->u.in4.sin_addr),
					     &a->u.in4.sin_addr);
	return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_AAAA, sizeof(a->u.in6.sin6_addr),
				     &a->u.in6.sin6_addr);
}

static ldns_resolver *resolver_of(const struct addr *server)
{
	ldns_resolver *r = NULL;
	ldns_rdf *address;
	bool there;

	if (!server)
		return ldns_resolver_new_frm_file(&r, NULL) == LDNS_STATUS_OK ? r : NULL;
	r = ldns_resolver_new();
	address = address_rdf(server);
	there = r && address && ldns_resolver_push_nameserver(r, address) == LDNS_STATUS_OK;
	ldns_rdf_deep_free(address);
	if (there)
		return r;
	ldns_resolver_deep_free(r);
	return NULL;
}

ldns_resolver *dns_resolver_make(const struct addr *server, unsigned port, uint64_t timeout_ms)
{
	const struct timeval timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
					.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
	ldns_resolver *r = resolver_of(server);

	if (!r)
		return NULL;
	if (server)
		ldns_resolver_set_port(r, (uint16_t)port);
	ldns_resolver_set_timeout(r, timeout);
	ldns_resolver_set_retry(r, TRIES);
	ldns_resolver_set_random(r, false);
	ldns_resolver_set_fail(r, false);
	ldns_resolver_set_defnames(r, false);
	ldns_resolver_set_dnsrch(r, false);
	return r;
}

/* To be freed with ldns_pkt_free; NULL: e says why. An answer that the name does not exist is one.
 */
static ldns_pkt *ask(ldns_resolver *r, const ldns_rdf *name, ldns_rr_type type, uint16_t flags,
		     struct err *e)
{
	ldns_pkt *answer = NULL;
	ldns_status s = ldns_resolver_query_status(&answer, r, name, type, LDNS_RR_CLASS_IN, flags);
	ldns_pkt_rcode rcode;

	if (s != LDNS_STATUS_OK || !answer) {
		ldns_pkt_free(answer);
		err_set(e, ERR_UNAVAILABLE, "no answer of DNS (%s)",
			s == LDNS_STATUS_OK ? "none" : ldns_get_errorstr_by_id(s));
		return NULL;
	}
	rcode = ldns_pkt_get_rcode(answer);
	if (rcode == LDNS_RCODE_NOERROR || rcode == LDNS_RCODE_NXDOMAIN)
		return answer;
	ldns_pkt_free(answer);
	err_set(e, ERR_UNAVAILABLE, "DNS answers %s",
		rcode == LDNS_RCODE_SERVFAIL  ? "SERVFAIL"
		: rcode == LDNS_RCODE_REFUSED ? "REFUSED"
					      : "with an error");
	return NULL;
}

static ldns_resolver *ask_whom(const struct dns_asked *asked, struct err *e)
{
	ldns_resolver *r =
		asked->resolver_given
			? dns_resolver_make(&asked->resolver, addr_port(&asked->resolver),
					    asked->timeout_ms)
			: dns_resolver_make(NULL, DNS_PORT, asked->timeout_ms);

	if (!r)
		err_set(e, ERR_UNAVAILABLE, "/etc/resolv.conf cannot be used");
	return r;
}

static ldns_rdf *name_rdf(const char *text, struct err *e)
{
	ldns_rdf *rdf = ldns_dname_new_frm_str(text);

	if (!rdf)
		err_set(e, ERR_INVALID, "\"%.200s\" is no name of DNS", text);
	return rdf;
}

int dns_name_check(const char *text, struct err *e)
{
	ldns_rdf *rdf = text && text[0] ? name_rdf(text, e) : NULL;

	ldns_rdf_deep_free(rdf);
	return rdf || !text || !text[0] ? 0 : -1;
}

static int name_text(char out[DNS_NAME_SIZE], const ldns_rdf *name, struct err *e)
{
	char *text = ldns_rdf2str(name);
	size_t len = text ? strlen(text) : 0;
	int rc = 0;

	if (!text || len >= DNS_NAME_SIZE)
		rc = err_set(e, ERR_INVALID, "a name of DNS cannot be written down");
	else
		snprintf(out, DNS_NAME_SIZE, "%.*s",
			 (int)(len > 1 && text[len - 1] == '.' ? len - 1 : len), text);
	free(text);
	return rc;
}

/* The first record of this type for the name in a section (name NULL: any); NULL: none. */
static const ldns_rr *find(const ldns_rr_list *section, const ldns_rdf *name, ldns_rr_type type)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(section); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(section, i);

		if (ldns_rr_get_type(rr) == type && ldns_rr_rd_count(rr) > 0 &&
		    (!name || ldns_dname_compare(ldns_rr_owner(rr), name) == 0))
			return rr;
	}
	return NULL;
}

/* --- where --- */

/* *name is replaced by what is at the end of its aliases. */
static int follow(ldns_resolver *r, ldns_rdf **name, struct err *e)
{
	for (unsigned i = 0; i < DNS_ALIASES_MAX; i++) {
		ldns_pkt *answer = ask(r, *name, LDNS_RR_TYPE_CNAME, LDNS_RD, e);
		const ldns_rr *alias =
			answer ? find(ldns_pkt_answer(answer), *name, LDNS_RR_TYPE_CNAME) : NULL;
		ldns_rdf *to = alias ? ldns_rdf_clone(ldns_rr_rdf(alias, 0)) : NULL;
		bool end = answer && !alias;

		ldns_pkt_free(answer);
		if (end)
			return 0;
		if (!to)
			return alias ? err_memory(e, "a name of DNS") : -1;
		ldns_rdf_deep_free(*name);
		*name = to;
	}
	return err_set(e, ERR_INVALID, "more than %d aliases (CNAME) in a row", DNS_ALIASES_MAX);
}

/* The zone that an answer about name tells; NULL: none. */
static const ldns_rr *soa_of(const ldns_pkt *answer, const ldns_rdf *name)
{
	const ldns_rr *soa = find(ldns_pkt_answer(answer), name, LDNS_RR_TYPE_SOA);

	if (soa)
		return soa;
	soa = find(ldns_pkt_authority(answer), NULL, LDNS_RR_TYPE_SOA);
	if (soa && (ldns_dname_is_subdomain(name, ldns_rr_owner(soa)) ||
		    ldns_dname_compare(name, ldns_rr_owner(soa)) == 0))
		return soa;
	return NULL;
}

static int find_zone(ldns_resolver *r, const ldns_rdf *name, char zone[DNS_NAME_SIZE],
		     struct err *e)
{
	ldns_rdf *at = ldns_rdf_clone(name), *up;
	int rc = 1;

	for (unsigned i = 0; rc == 1 && at && i < LABELS_MAX && ldns_dname_label_count(at) > 0;
	     i++) {
		ldns_pkt *answer = ask(r, at, LDNS_RR_TYPE_SOA, LDNS_RD, e);
		const ldns_rr *soa = answer ? soa_of(answer, at) : NULL;

		if (!answer)
			rc = -1;
		else if (soa)
			rc = name_text(zone, ldns_rr_owner(soa), e);
		ldns_pkt_free(answer);
		up = ldns_dname_left_chop(at);
		ldns_rdf_deep_free(at);
		at = up;
	}
	ldns_rdf_deep_free(at);
	return rc == 1 ? err_set(e, ERR_INVALID, "DNS tells no zone of the name (SOA)") : rc;
}

static int check_zone(const ldns_rdf *name, const char *zone, char out[DNS_NAME_SIZE],
		      struct err *e)
{
	ldns_rdf *z = name_rdf(zone, e);
	char text[DNS_NAME_SIZE] = "?";
	int rc = z ? name_text(out, z, e) : -1;

	if (rc == 0 && !ldns_dname_is_subdomain(name, z)) {
		(void)!name_text(text, name, NULL);
		rc = err_set(e, ERR_INVALID, "%.200s is not in the zone %.200s", text, zone);
	}
	ldns_rdf_deep_free(z);
	return rc;
}

int dns_place_find(struct dns_place *out, const char *name, const char *zone,
		   const struct dns_asked *asked, struct err *e)
{
	ldns_resolver *r = ask_whom(asked, e);
	ldns_rdf *at = r ? name_rdf(name, e) : NULL;
	int rc = -1;

	out->zone[0] = '\0';
	if (at && follow(r, &at, e) == 0 && name_text(out->name, at, e) == 0) {
		if (!zone)
			rc = find_zone(r, at, out->zone, e);
		else
			rc = zone[0] ? check_zone(at, zone, out->zone, e) : 0;
	}
	if (rc != 0)
		err_prefix(e, "%s", name);
	ldns_rdf_deep_free(at);
	ldns_resolver_deep_free(r);
	return rc;
}

/* --- who shows it --- */

static bool txt_is(const ldns_rr *rr, struct str value)
{
	size_t at = 0;

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
		const uint8_t *bytes = ldns_rdf_data(rdf);
		size_t n = ldns_rdf_size(rdf) > 0 ? bytes[0] : 0;

		if (n + 1 > ldns_rdf_size(rdf) || n > value.len - at ||
		    memcmp(bytes + 1, value.ptr + at, n) != 0)
			return false;
		at += n;
	}
	return at == value.len;
}

bool dns_answer_has_txt(const ldns_pkt *answer, const ldns_rdf *name, struct str value)
{
	const ldns_rr_list *section = ldns_pkt_answer(answer);

	for (size_t i = 0; i < ldns_rr_list_rr_count(section); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(section, i);

		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_TXT &&
		    ldns_dname_compare(ldns_rr_owner(rr), name) == 0 && txt_is(rr, value))
			return true;
	}
	return false;
}

struct search {
	const ldns_rdf *name;
	struct str value;
	unsigned answered, lacking;
	char *who;
};

static void ask_one(struct search *s, ldns_resolver *r, const char *who, uint16_t flags,
		    struct err *e)
{
	ldns_pkt *answer = ask(r, s->name, LDNS_RR_TYPE_TXT, flags, e);

	if (!answer)
		return;
	s->answered++;
	if (!dns_answer_has_txt(answer, s->name, s->value) && s->lacking++ == 0)
		snprintf(s->who, ADDR_TEXT_SIZE, "%s", who);
	ldns_pkt_free(answer);
}

static void ask_server(struct search *s, const ldns_rr *address, const struct dns_asked *asked,
		       struct err *e)
{
	const ldns_rdf *rdf = ldns_rr_rdf(address, 0);
	struct addr a;
	char who[ADDR_TEXT_SIZE];
	ldns_resolver *r;

	memset(&a, 0, sizeof(a));
	if (ldns_rr_get_type(address) == LDNS_RR_TYPE_A && ldns_rdf_size(rdf) == 4) {
		a.u.in4.sin_family = AF_INET;
		memcpy(&a.u.in4.sin_addr, ldns_rdf_data(rdf), 4);
	} else if (ldns_rdf_size(rdf) == 16) {
		a.u.in6.sin6_family = AF_INET6;
		memcpy(&a.u.in6.sin6_addr, ldns_rdf_data(rdf), 16);
	} else {
		return;
	}
	addr_ip_text(&a, who, sizeof(who));
	r = dns_resolver_make(&a, asked->port, asked->timeout_ms);
	if (r)
		ask_one(s, r, who, 0, e);
	ldns_resolver_deep_free(r);
}

/* IPv6 where there is no IPv4: this control plane may not have any. */
static void ask_nameserver(struct search *s, ldns_resolver *resolver, const ldns_rdf *host,
			   const struct dns_asked *asked, struct err *e)
{
	static const ldns_rr_type types[] = {LDNS_RR_TYPE_A, LDNS_RR_TYPE_AAAA};

	for (size_t i = 0; i < array_len(types); i++) {
		ldns_pkt *answer = ask(resolver, host, types[i], LDNS_RD, e);
		const ldns_rr *rr = answer ? find(ldns_pkt_answer(answer), NULL, types[i]) : NULL;

		if (rr)
			ask_server(s, rr, asked, e);
		ldns_pkt_free(answer);
		if (rr)
			return;
	}
}

static int ask_zone(struct search *s, ldns_resolver *r, const char *zone,
		    const struct dns_asked *asked, struct err *e)
{
	ldns_rdf *at = name_rdf(zone, e);
	ldns_pkt *answer = at ? ask(r, at, LDNS_RR_TYPE_NS, LDNS_RD, e) : NULL;
	const ldns_rr_list *all = answer ? ldns_pkt_answer(answer) : NULL;
	unsigned asked_of = 0;

	for (size_t i = 0; all && i < ldns_rr_list_rr_count(all); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(all, i);

		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_NS && ldns_rr_rd_count(rr) > 0 &&
		    asked_of++ < DNS_NAMESERVERS_MAX)
			ask_nameserver(s, r, ldns_rr_rdf(rr, 0), asked, e);
	}
	if (answer && asked_of == 0)
		err_set(e, ERR_INVALID, "the zone %.200s has no name servers (NS)", zone);
	ldns_pkt_free(answer);
	ldns_rdf_deep_free(at);
	return s->answered > 0 ? 0 : -1;
}

int dns_place_shows(const struct dns_place *p, const char *value, const struct dns_asked *asked,
		    bool *shown, char *who, struct err *e)
{
	ldns_resolver *r = ask_whom(asked, e);
	ldns_rdf *name = r ? name_rdf(p->name, e) : NULL;
	struct search s = {.name = name, .value = str_from(value), .who = who};
	int rc = -1;

	*shown = false;
	if (name && asked->resolver_only) {
		ask_one(&s, r, "the resolver", LDNS_RD, e);
		rc = s.answered > 0 ? 0 : -1;
	} else if (name) {
		rc = ask_zone(&s, r, p->zone, asked, e);
	}
	*shown = rc == 0 && s.lacking == 0;
	if (rc == 0)
		err_clear(e);
	ldns_rdf_deep_free(name);
	ldns_resolver_deep_free(r);
	return rc;
}
