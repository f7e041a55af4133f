/* Happy path: hello_read takes records apart, gathers the handshake message, and parses it once it
 * is whole. Failure paths: another content type or version, an empty record, a length beyond its
 * frame, a name that is none, more than HELLO_MAX bytes.
 *
 *     record:    type 1 | version 2 | length 2 | fragment
 *     handshake: type 1 | length 3 | version 2 | random 32 | session id <1> | ciphers <2> |
 *                compression <1> | extensions <2>
 *     extension: type 2 | data <2>;   server_name: list <2> of (type 1 | name <2>)
 */
#include "data-plane/tls/hello.h"

enum {
	RECORD_MAX = 1 << 14,
	CONTENT_HANDSHAKE = 22,
	CLIENT_HELLO = 1,
	MESSAGE_HEADER = 4,
	FIXED = 2 + 32,
	EXTENSION_SERVER_NAME = 0,
	NAME_HOST = 0,
};

void hello_reader_init(struct hello_reader *r)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->message, HELLO_MAX);
}

void hello_reader_deinit(struct hello_reader *r)
{
	buf_deinit(&r->message);
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, "no ClientHello: %s", what);
}

/* --- the message --- */

static size_t number(struct str s, size_t n)
{
	size_t value = 0;

	for (size_t i = 0; i < n; i++)
		value = value << 8 | (unsigned char)s.ptr[i];
	return value;
}

/* Takes a vector with a length of n bytes off *s. */
static int take(struct str *s, size_t n, struct str *out)
{
	size_t len;

	if (s->len < n)
		return -1;
	len = number(*s, n);
	if (s->len - n < len)
		return -1;
	*out = str_sub(*s, n, n + len);
	*s = str_sub(*s, n + len, s->len);
	return 0;
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static int set_name(struct hello *out, struct str name, struct err *e)
{
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || name.len > HELLO_NAME_MAX)
		return bad(e, "the length of its server name");
	for (size_t i = 0; i < name.len; i++) {
		out->sni[i] = ascii_lower(name.ptr[i]);
		if (!is_name_byte(out->sni[i]))
			return bad(e, "a byte in its server name");
	}
	out->sni_len = name.len;
	return 0;
}

static int parse_names(struct str data, struct hello *out, struct err *e)
{
	struct str list = STR_NONE, name = STR_NONE;

	if (out->sni_len)
		return bad(e, "two lists of server names");
	if (take(&data, 2, &list) != 0 || data.len > 0 || list.len == 0)
		return bad(e, "its list of server names");
	while (list.len > 0) {
		int type = (unsigned char)list.ptr[0];

		list = str_sub(list, 1, list.len);
		if (take(&list, 2, &name) != 0)
			return bad(e, "its list of server names");
		/* RFC 6066: one name of a type. */
		if (type == NAME_HOST && out->sni_len)
			return bad(e, "two server names");
		if (type == NAME_HOST && set_name(out, name, e) != 0)
			return -1;
	}
	return 0;
}

static int parse_extensions(struct str s, struct hello *out, struct err *e)
{
	struct str data = STR_NONE;

	while (s.len > 0) {
		size_t type;

		if (s.len < 2)
			return bad(e, "its extensions");
		type = number(s, 2);
		s = str_sub(s, 2, s.len);
		if (take(&s, 2, &data) != 0)
			return bad(e, "its extensions");
		if (type == EXTENSION_SERVER_NAME && parse_names(data, out, e) != 0)
			return -1;
	}
	return 0;
}

static int parse(struct str s, struct hello *out, struct err *e)
{
	struct hello found = {0};
	struct str skip = STR_NONE, extensions = STR("");

	if (s.len < FIXED || s.ptr[0] != 3)
		return bad(e, "its version");
	s = str_sub(s, FIXED, s.len);
	if (take(&s, 1, &skip) != 0 || take(&s, 2, &skip) != 0 || take(&s, 1, &skip) != 0)
		return bad(e, "its lengths");
	/* A hello of before extensions ends here. */
	if (s.len > 0 && (take(&s, 2, &extensions) != 0 || s.len > 0))
		return bad(e, "the length of its extensions");
	if (parse_extensions(extensions, &found, e) != 0)
		return -1;
	*out = found;
	return 0;
}

/* --- records --- */

/* The header is whole. */
static int begin_record(struct hello_reader *r, struct err *e)
{
	size_t len = (size_t)r->header[3] << 8 | r->header[4];

	if (len == 0 || len > RECORD_MAX)
		return bad(e, "the length of its record");
	r->left = len;
	return 0;
}

static int check_header(const struct hello_reader *r, struct err *e)
{
	if (r->header_len >= 1 && r->header[0] != CONTENT_HANDSHAKE)
		return bad(e, "not TLS");
	if (r->header_len >= 2 && r->header[1] != 3)
		return bad(e, "its record's version");
	return 0;
}

/* Takes what it can of a header or fragment. */
static int take_some(struct hello_reader *r, struct str rest, struct err *e)
{
	size_t n = r->left ? r->left : HELLO_RECORD_HEADER - r->header_len;

	if (n > rest.len)
		n = rest.len;
	r->taken += n;
	if (r->left) {
		r->left -= n;
		return buf_add(&r->message, rest.ptr, n, e);
	}
	memcpy(r->header + r->header_len, rest.ptr, n);
	r->header_len += n;
	if (check_header(r, e) != 0)
		return -1;
	if (r->header_len < HELLO_RECORD_HEADER)
		return 0;
	r->header_len = 0;
	return begin_record(r, e);
}

/* The message is whole: 1; not yet: 0. */
static int whole(const struct hello_reader *r, struct str *body, struct err *e)
{
	struct str m = buf_str(&r->message);
	size_t len;

	if (m.len >= 1 && m.ptr[0] != CLIENT_HELLO)
		return bad(e, "another message");
	if (m.len < MESSAGE_HEADER)
		return 0;
	len = number(str_sub(m, 1, MESSAGE_HEADER), 3);
	if (len > HELLO_MAX - MESSAGE_HEADER)
		return err_set(e, ERR_LIMIT, "a ClientHello of %zu bytes", len);
	*body = str_sub(m, MESSAGE_HEADER, MESSAGE_HEADER + len);
	return m.len - MESSAGE_HEADER >= len;
}

enum hello_result hello_read(struct hello_reader *r, struct str bytes, struct hello *out,
			     struct err *e)
{
	struct str body = STR_NONE;
	int done = 0;

	while (done == 0 && r->taken < bytes.len) {
		if (r->taken >= HELLO_MAX) {
			err_set(e, ERR_LIMIT, "a ClientHello of more than %d bytes", HELLO_MAX);
			return HELLO_BAD;
		}
		if (take_some(r, str_sub(bytes, r->taken, bytes.len), e) != 0)
			return HELLO_BAD;
		done = whole(r, &body, e);
	}
	if (done == 0)
		return HELLO_MORE;
	return done > 0 && parse(body, out, e) == 0 ? HELLO_DONE : HELLO_BAD;
}
