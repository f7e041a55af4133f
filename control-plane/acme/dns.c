#include "control-plane/acme/dns.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <string.h>

enum { TRY_S = 2, TRIES = 2, DNS_PORT = 53 };

int dns_server_parse(struct str text, struct addr *out, struct err *e)
{
	memset(out, 0, sizeof(*out));
	if (addr_parse_ip(out, text) == 0)
		addr_set_port(out, DNS_PORT);
	else if (addr_parse(out, text, NULL) != 0)
		memset(out, 0, sizeof(*out));
	if (out->u.sa.sa_family == AF_INET && addr_port(out) != 0)
		return 0;
	return err_set(e, ERR_INVALID,
		       "\"%.*s\" is not allowed; expected an IPv4 address, with a port or without",
		       (int)(text.len > 64 ? 64 : text.len), text.ptr);
}

/* --- an answer --- */

static void add(struct dns_addresses *out, const ns_rr *rr)
{
	struct addr *a = &out->items[out->count];

	if (out->count == DNS_ADDRESSES_MAX)
		return;
	memset(a, 0, sizeof(*a));
	if (ns_rr_type(*rr) == ns_t_a && ns_rr_rdlen(*rr) == sizeof(a->u.in4.sin_addr)) {
		a->u.in4.sin_family = AF_INET;
		memcpy(&a->u.in4.sin_addr, ns_rr_rdata(*rr), sizeof(a->u.in4.sin_addr));
		out->count++;
	} else if (ns_rr_type(*rr) == ns_t_aaaa && ns_rr_rdlen(*rr) == sizeof(a->u.in6.sin6_addr)) {
		a->u.in6.sin6_family = AF_INET6;
		memcpy(&a->u.in6.sin6_addr, ns_rr_rdata(*rr), sizeof(a->u.in6.sin6_addr));
		out->count++;
	}
}

int dns_read(struct dns_addresses *out, const unsigned char *answer, size_t size, int type,
	     struct err *e)
{
	ns_msg message;
	ns_rr rr;

	if (size > DNS_ANSWER_MAX || ns_initparse(answer, (int)size, &message) != 0)
		return err_set(e, ERR_INVALID, "the answer of DNS is broken");
	for (int i = 0; i < ns_msg_count(message, ns_s_an); i++) {
		if (ns_parserr(&message, ns_s_an, i, &rr) != 0)
			return err_set(e, ERR_INVALID, "the answer of DNS is broken");
		if ((int)ns_rr_type(rr) == type)
			add(out, &rr);
	}
	return 0;
}

/* --- asking --- */

static int start(res_state state, const struct addr *server, struct err *e)
{
	memset(state, 0, sizeof(*state));
	if (res_ninit(state) != 0)
		return err_set(e, ERR_UNAVAILABLE, "/etc/resolv.conf cannot be used");
	state->retrans = TRY_S;
	state->retry = TRIES;
	if (server) {
		state->nscount = 1;
		state->nsaddr_list[0] = server->u.in4;
	}
	return 0;
}

/* *size 0: it answered that there are none; *nothing: there is no such name. */
static int ask(res_state state, const char *host, int type, unsigned char *answer, size_t *size,
	       bool *nothing, struct err *e)
{
	int n = res_nquery(state, host, ns_c_in, type, answer, DNS_ANSWER_MAX);

	*size = n < 0 ? 0 : n > DNS_ANSWER_MAX ? DNS_ANSWER_MAX : (size_t)n;
	*nothing = n < 0 && state->res_h_errno == HOST_NOT_FOUND;
	if (n >= 0 || *nothing || state->res_h_errno == NO_DATA)
		return 0;
	return err_set(e, ERR_UNAVAILABLE, "%s", hstrerror(state->res_h_errno));
}

int dns_ask(const char *host, int type, const struct addr *server,
	    unsigned char answer[DNS_ANSWER_MAX], size_t *size, struct err *e)
{
	struct __res_state state;
	bool nothing;
	int rc;

	*size = 0;
	if (start(&state, server, e) != 0)
		return -1;
	rc = ask(&state, host, type, answer, size, &nothing, e);
	res_nclose(&state);
	return rc;
}

static int ask_both(res_state state, const char *host, struct dns_addresses *out, struct err *e)
{
	static const int types[] = {ns_t_a, ns_t_aaaa};
	unsigned char answer[DNS_ANSWER_MAX];
	bool nothing = false;
	size_t size;

	for (size_t i = 0; i < array_len(types) && !nothing; i++)
		if (ask(state, host, types[i], answer, &size, &nothing, e) != 0 ||
		    (size > 0 && dns_read(out, answer, size, types[i], e) != 0))
			return -1;
	if (out->count > 0)
		return 0;
	return err_set(e, ERR_INVALID, "%s",
		       nothing ? "there is no such name (NXDOMAIN)" : "it has no A or AAAA record");
}

int dns_addresses(struct dns_addresses *out, const char *host, const struct addr *server,
		  struct err *e)
{
	struct __res_state state;
	int rc;

	out->count = 0;
	if (start(&state, server, e) != 0)
		return -1;
	rc = ask_both(&state, host, out, e);
	res_nclose(&state);
	return rc;
}
