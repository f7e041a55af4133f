#include "data-plane/proxy/client.h"

#include "common/http/syntax.h"

enum { HOPS_MAX = 64 }; /* of a list that is followed; a chain of more proxies is none */

int client_parse_address(struct addr *out, struct str text)
{
	struct addr a;
	bool with_port = str_starts(text, STR("["));
	size_t colon = str_find(text, ':', 0);

	/* One colon: IPv4 with a port. */
	if (!with_port && colon < text.len && str_find(text, ':', colon + 1) == text.len)
		with_port = true;
	if (with_port && str_ends(text, STR("]")))
		return client_parse_address(out, str_sub(text, 1, text.len - 1));
	if (with_port ? addr_parse(&a, text, NULL) < 0 : addr_parse_ip(&a, text) < 0)
		return -1;
	addr_unmap(&a);
	*out = a;
	return 0;
}

/* Takes the last element off a list; false when there is none. */
static bool last_element(struct str *list, struct str *out)
{
	size_t at = list->len;

	if (!list->ptr)
		return false;
	while (at > 0 && list->ptr[at - 1] != ',')
		at--;
	*out = str_trim(str_sub(*list, at, list->len));
	*list = at > 0 ? str_sub(*list, 0, at - 1) : STR_NONE;
	return true;
}

struct walk {
	const struct client_rules *rules;
	struct addr *address;
	unsigned left;
};

/* Follows one field from its end, as long as who is named there is trusted; false: no further. */
static bool follow(struct walk *w, struct str list)
{
	struct str element;
	struct addr next;

	while (last_element(&list, &element)) {
		if (w->left-- == 0 || client_parse_address(&next, element) < 0)
			return false;
		*w->address = next;
		if (!w->rules->recursive || !ip_set_has(w->rules->trusted, &next))
			return false;
	}
	return true;
}

/* nginx's rules: the last address, or with `recursive` the last that is not trusted; fields of the
 * same name are one list. */
static void read_address(struct client *c, const struct client_rules *rules,
			 const struct http_fields *f)
{
	struct walk w = {rules, &c->address, HOPS_MAX};

	for (size_t i = f->count; i > 0; i--)
		if (str_eq(f->items[i - 1].name, rules->real_ip_header) &&
		    !follow(&w, f->items[i - 1].value))
			return;
}

/* What the trusted hop itself wrote: it stands last. */
static struct str said(const struct http_fields *f, struct str name)
{
	struct str element = STR_NONE;

	for (size_t i = f->count; i > 0; i--) {
		struct str list = f->items[i - 1].value;

		if (str_eq(f->items[i - 1].name, name) && last_element(&list, &element))
			break;
	}
	return element;
}

static void read_forwarded(struct client *c, const struct http_fields *f)
{
	struct str scheme = said(f, STR("x-forwarded-proto"));
	struct str authority = said(f, STR("x-forwarded-host"));
	struct str port = said(f, STR("x-forwarded-port"));
	struct str host;
	uint64_t n;

	if (str_ieq(scheme, STR("https")))
		c->scheme = STR("https");
	else if (str_ieq(scheme, STR("http")))
		c->scheme = STR("http");
	if (authority.len > 0 && http_is_authority(authority, &host))
		c->host = host;
	if (port.len > 0 && port.len <= 5 && str_u64(port, &n) == 0 && n > 0 && n < 65536)
		c->port = (uint16_t)n;
}

void client_read(struct client *c, const struct client_rules *rules, const struct http_request *r,
		 const struct addr *peer, const struct addr *hop, const struct addr *local)
{
	c->peer = *peer;
	c->hop = *hop;
	c->address = *hop;
	c->local = *local;
	c->tls = str_eq(r->scheme, STR("https"));
	c->tls_version = NULL;
	c->sni = STR_NONE;
	c->scheme = c->tls ? STR("https") : STR("http");
	c->host = r->host;
	c->port = addr_port(local);
	c->trusted = ip_set_has(rules->trusted, peer) && ip_set_has(rules->trusted, hop);
	if (!c->trusted)
		return;
	read_address(c, rules, &r->fields);
	read_forwarded(c, &r->fields);
}
