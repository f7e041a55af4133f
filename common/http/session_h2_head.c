/* The head of an answer as HTTP/2 takes it: checked, names in lower case, and all its text in one
 * piece of the exchange's arena, where nghttp2 reads it when it is sent. What the handler gave may
 * be gone by then. */
#include "common/http/session_internal.h"
#include "common/http/syntax.h"

struct head {
	struct http_fields *out;
	char *at; /* where the next text goes */
};

static void put(struct head *h, struct str name, struct str value)
{
	struct http_field *f = &h->out->items[h->out->count++];

	memcpy(h->at, value.ptr, value.len);
	*f = (struct http_field){name, {h->at, value.len}};
	h->at += value.len;
}

static void put_number(struct head *h, struct str name, uint64_t n)
{
	char text[STR_DECIMAL_SIZE];

	put(h, name, str_decimal(text, n));
}

/* -1: malformed. */
static int put_field(struct head *h, const struct http_field *f)
{
	struct str name = {h->at, f->name.len};

	for (size_t i = 0; i < name.len; i++) {
		unsigned char lower = http_token_lower[(unsigned char)f->name.ptr[i]];

		if (!lower)
			return -1;
		*h->at++ = (char)lower;
	}
	if (name.len == 0 || !http_is_field_value(f->value))
		return -1;
	put(h, name, f->value.len > 0 ? f->value : STR(""));
	return 0;
}

static bool is_kept(struct str name)
{
	return !http_is_hop_by_hop(name) && !str_ieq(name, STR("content-length"));
}

/* What the session adds (RFC 9110 6.6.1, 8.6). */
static void put_own(struct head *h, const struct exchange *x, const struct http_response *r)
{
	struct http_server *server = x->session->server;

	if (!http_fields_get(&r->fields, STR("date")).ptr)
		put(h, STR("date"), session_date(server));
	if (str_from(server->server_header).len > 0 &&
	    !http_fields_get(&r->fields, STR("server")).ptr)
		put(h, STR("server"), str_from(server->server_header));
	if (r->content_length >= 0 && r->status != 204)
		put_number(h, STR("content-length"), (uint64_t)r->content_length);
}

/* At most: every field, and what is added. */
static size_t text_size(const struct exchange *x, const struct http_response *r)
{
	const struct http_server *server = x->session->server;
	size_t n = 2 * STR_DECIMAL_SIZE + sizeof(server->date);

	n += str_from(server->server_header).len;
	for (size_t i = 0; i < r->fields.count; i++)
		n += r->fields.items[i].name.len + r->fields.items[i].value.len;
	return n;
}

static int make_room(struct http_fields *out, struct arena *a, size_t count)
{
	if (count <= out->cap)
		return 0;
	out->items = arena_alloc(a, count * sizeof(*out->items));
	out->cap = count;
	return out->items ? 0 : -1;
}

int session_h2_head(struct exchange *x, const struct http_response *r, bool final,
		    struct http_fields *out, struct err *e)
{
	struct head h = {out, arena_alloc(&x->arena, text_size(x, r))};

	if (!h.at || make_room(out, &x->arena, r->fields.count + SESSION_OWN_FIELDS) != 0)
		return err_memory(e, "response fields");
	put_number(&h, STR(":status"), r->status);
	if (final)
		put_own(&h, x, r);
	for (size_t i = 0; i < r->fields.count; i++)
		if (is_kept(r->fields.items[i].name) && put_field(&h, &r->fields.items[i]) != 0)
			return err_set(e, ERR_INVALID, "response field %zu is malformed", i);
	return 0;
}
