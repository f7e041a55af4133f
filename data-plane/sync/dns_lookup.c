#include "data-plane/sync/dns_lookup.h"

#include <stdlib.h>

/* Of a name that an SRV record points to. */
struct srv_target {
	struct dns_lookup *lookup;
	char name[DNS_NAME_SIZE];
	enum dns_type type;
};

struct dns_lookup {
	struct dns_channel *channel;
	char name[DNS_NAME_SIZE];
	enum dns_type types[DNS_ORDER_MAX + 1];
	size_t type_count, at;
	bool known; /* there is a good answer already */
	bool failed;
	void (*done)(enum lookup_result r, const struct lookup_answer *a, void *arg);
	void *arg;
	/* SRV */
	struct dns_record *records; /* of the best priority */
	size_t record_count;
	struct srv_target targets[LOOKUP_SRV_TARGETS];
	size_t target_count, pending;
	bool cancelled;
	uint32_t ttl;
	struct address items[ADDRESSES_PER_NAME];
	size_t count;
};

int dns_order_parse(struct dns_order *out, struct str text, struct err *e)
{
	static const struct {
		struct str name;
		enum dns_type type;
	} names[] = {{STR("SRV"), DNS_SRV}, {STR("A"), DNS_A}, {STR("AAAA"), DNS_AAAA}};
	struct str rest = text, word;

	*out = (struct dns_order){.count = 0};
	while (rest.len > 0 && str_split(&rest, ',', &word)) {
		size_t i = 0, n = 0;

		word = str_trim(word);
		out->last |= str_ieq(word, STR("LAST"));
		if (str_ieq(word, STR("LAST")) || str_ieq(word, STR("CNAME")))
			continue;
		while (i < array_len(names) && !str_ieq(word, names[i].name))
			i++;
		if (i == array_len(names))
			return err_set(e, ERR_INVALID, "\"%.*s\": use LAST, SRV, A, AAAA, CNAME",
				       (int)(word.len < 20 ? word.len : 20), word.ptr);
		while (n < out->count && out->types[n] != names[i].type)
			n++;
		if (n == out->count)
			out->types[out->count++] = names[i].type;
	}
	return out->count > 0 ? 0 : err_set(e, ERR_INVALID, "name at least one of SRV, A, AAAA");
}

static void finish(struct dns_lookup *l, enum lookup_result r)
{
	const struct lookup_answer a = {
		.type = l->types[l->at < l->type_count ? l->at : 0],
		.ttl = l->ttl,
		.items = l->items,
		.count = l->count,
	};

	l->done(r, r == LOOKUP_FOUND ? &a : NULL, l->arg);
	free(l->records);
	free(l);
}

static void ask_next(struct dns_lookup *l);

static void next_type(struct dns_lookup *l)
{
	if (++l->at < l->type_count)
		ask_next(l);
	else
		finish(l, l->failed ? LOOKUP_ERROR : LOOKUP_NOTHING);
}

static void type_failed(struct dns_lookup *l)
{
	l->failed = true;
	if (l->known)
		finish(l, LOOKUP_ERROR);
	else
		next_type(l);
}

/* --- SRV --- */

static void add_address(struct dns_lookup *l, const struct addr *a, const struct dns_record *srv)
{
	struct address *x = &l->items[l->count];

	if (l->count == ADDRESSES_PER_NAME)
		return;
	l->count++;
	*x = (struct address){.addr = *a};
	if (!srv)
		return;
	addr_set_port(&x->addr, srv->port);
	/* RFC 2782: 0 has a small chance too. */
	x->weight = srv->weight > 0 ? srv->weight : 1;
	x->name = str_from(srv->target);
}

static void target_done(struct dns_lookup *l)
{
	if (--l->pending > 0)
		return;
	if (l->cancelled)
		finish(l, LOOKUP_CANCELLED);
	else if (l->count > 0)
		finish(l, LOOKUP_FOUND);
	else
		type_failed(l);
}

static void on_target(enum dns_outcome o, const struct dns_answer *a, void *arg);

static void ask_target(struct srv_target *t)
{
	if (dns_channel_ask(t->lookup->channel, t->name, t->type, on_target, t, NULL) < 0)
		target_done(t->lookup);
}

static void on_target(enum dns_outcome o, const struct dns_answer *a, void *arg)
{
	struct srv_target *t = arg;
	struct dns_lookup *l = t->lookup;

	l->cancelled |= o == DNS_CANCELLED;
	if (o != DNS_OK && o != DNS_CANCELLED && t->type == DNS_A) {
		t->type = DNS_AAAA;
		ask_target(t);
		return;
	}
	for (size_t i = 0; o == DNS_OK && i < l->record_count; i++)
		for (size_t k = 0; strcmp(l->records[i].target, t->name) == 0 && k < a->count; k++)
			add_address(l, &a->records[k].addr, &l->records[i]);
	if (o == DNS_OK && a->ttl < l->ttl)
		l->ttl = a->ttl;
	target_done(l);
}

static void add_target(struct dns_lookup *l, const char *name)
{
	struct srv_target *t = &l->targets[l->target_count];

	for (size_t i = 0; i < l->target_count; i++)
		if (strcmp(l->targets[i].name, name) == 0)
			return;
	/* RFC 2782: "." says that the service is decidedly not there. */
	if (name[0] == '\0' || l->target_count == LOOKUP_SRV_TARGETS)
		return;
	t->lookup = l;
	t->type = DNS_A;
	memcpy(t->name, name, sizeof(t->name));
	l->target_count++;
}

static void follow_srv(struct dns_lookup *l, const struct dns_answer *a)
{
	uint16_t best = UINT16_MAX;
	size_t n;

	for (size_t i = 0; i < a->count; i++)
		if (a->records[i].priority < best)
			best = a->records[i].priority;
	l->records = a->count ? calloc(a->count, sizeof(*l->records)) : NULL;
	for (size_t i = 0; l->records && i < a->count; i++) {
		if (a->records[i].priority != best)
			continue;
		l->records[l->record_count++] = a->records[i];
		add_target(l, a->records[i].target);
	}
	l->ttl = a->ttl;
	if (l->target_count == 0) {
		type_failed(l);
		return;
	}
	/* Answers come later, but a question that cannot be asked is done at once: one more pends.
	 */
	n = l->target_count;
	l->pending = n + 1;
	for (size_t i = 0; i < n; i++)
		ask_target(&l->targets[i]);
	target_done(l);
}

/* --- types --- */

static void on_type(enum dns_outcome o, const struct dns_answer *a, void *arg)
{
	struct dns_lookup *l = arg;

	if (o == DNS_CANCELLED) {
		finish(l, LOOKUP_CANCELLED);
	} else if (o == DNS_NOTHING) {
		next_type(l);
	} else if (o == DNS_ERROR) {
		type_failed(l);
	} else if (l->types[l->at] == DNS_SRV) {
		follow_srv(l, a);
	} else {
		l->ttl = a->ttl;
		for (size_t i = 0; i < a->count; i++)
			add_address(l, &a->records[i].addr, NULL);
		finish(l, LOOKUP_FOUND);
	}
}

static void ask_next(struct dns_lookup *l)
{
	if (dns_channel_ask(l->channel, l->name, l->types[l->at], on_type, l, NULL) < 0)
		finish(l, LOOKUP_ERROR);
}

int dns_lookup_start(struct dns_channel *c, const char *name, const struct dns_order *order,
		     enum dns_type last,
		     void (*done)(enum lookup_result r, const struct lookup_answer *a, void *arg),
		     void *arg, struct err *e)
{
	struct dns_lookup *l = calloc(1, sizeof(*l));
	size_t len = strlen(name);

	if (!l)
		return err_memory(e, "looking a name up");
	if (len >= sizeof(l->name)) {
		free(l);
		return err_set(e, ERR_INVALID, "a name of %zu bytes", len);
	}
	memcpy(l->name, name, len + 1);
	l->channel = c;
	l->done = done;
	l->arg = arg;
	l->known = last != 0;
	if (last && order->last)
		l->types[l->type_count++] = last;
	for (size_t i = 0; i < order->count; i++)
		if (!(last && order->last && order->types[i] == last))
			l->types[l->type_count++] = order->types[i];
	if (dns_channel_ask(c, l->name, l->types[0], on_type, l, e) < 0) {
		free(l);
		return -1;
	}
	return 0;
}
