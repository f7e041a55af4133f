#include "data-plane/plugins/cert_header.h"

#include <openssl/err.h>

#include "common/core/codec.h"
#include "common/pki/cert.h"
#include "common/pki/pem.h"
#include "data-plane/plugins/client_cert.h"

/* Of a field: base64 of what a chain may hold, each byte of it escaped. */
enum { TEXT_MAX = CLIENT_CERT_CHAIN_BYTES * 4 };

static const struct {
	struct str name;
	enum cert_header_format format;
} formats[] = {
	{{"base64_encoded", 14}, CERT_HEADER_BASE64},
	{{"url_encoded", 11}, CERT_HEADER_URL},
	{{"rfc9440", 7}, CERT_HEADER_RFC9440},
};

int cert_header_format_parse(struct str text, enum cert_header_format *out)
{
	for (size_t i = 0; i < array_len(formats); i++) {
		if (!str_eq(text, formats[i].name))
			continue;
		*out = formats[i].format;
		return 0;
	}
	return -1;
}

/* Certificates read so far; the first is the client's. */
struct found {
	X509 *leaf;
	STACK_OF(X509) * chain;
	size_t bytes;
};

static void found_deinit(struct found *f)
{
	X509_free(f->leaf);
	sk_X509_pop_free(f->chain, X509_free);
}

static int found_add(struct found *f, struct str der, struct err *e)
{
	X509 *cert = NULL;

	f->bytes += der.len;
	if (f->bytes > CLIENT_CERT_CHAIN_BYTES)
		return err_set(e, ERR_DENIED, "the certificates have more than %d bytes",
			       CLIENT_CERT_CHAIN_BYTES);
	if (1 + sk_X509_num(f->chain) >= CLIENT_CERT_CHAIN_MAX && f->leaf && f->chain)
		return err_set(e, ERR_DENIED, "more than %d certificates", CLIENT_CERT_CHAIN_MAX);
	if (cert_from_der(&cert, der, e) < 0)
		return -1;
	if (!f->leaf) {
		f->leaf = cert;
		return 0;
	}
	if (!f->chain)
		f->chain = sk_X509_new_null();
	if (!f->chain || sk_X509_push(f->chain, cert) <= 0) {
		X509_free(cert);
		return err_memory(e, "a client's chain");
	}
	return 0;
}

/* --- formats --- */

/* Proxies fold the lines of PEM into blanks or take them out. */
static int without_blanks(struct buf *out, struct str text, struct err *e)
{
	if (buf_reserve(out, text.len, e) < 0)
		return -1;
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] != ' ' && text.ptr[i] != '\t')
			out->data[out->len++] = text.ptr[i];
	return 0;
}

static int read_base64(struct found *f, struct str value, struct err *e)
{
	struct buf text = BUF_INIT, der = BUF_INIT;
	int rc = -1;

	if (without_blanks(&text, value, e) == 0 && base64_decode(&der, buf_str(&text), e) == 0)
		rc = found_add(f, buf_str(&der), e);
	buf_deinit(&text);
	buf_deinit(&der);
	return rc;
}

static int hex_value(char c)
{
	c = ascii_lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int unescape(struct buf *out, struct str text, struct err *e)
{
	if (buf_reserve(out, text.len, e) < 0)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		int high, low;

		if (text.ptr[i] != '%') {
			out->data[out->len++] = text.ptr[i];
			continue;
		}
		if (text.len - i < 3)
			return err_set(e, ERR_DENIED, "an escape is cut short");
		high = hex_value(text.ptr[i + 1]);
		low = hex_value(text.ptr[i + 2]);
		if (high < 0 || low < 0)
			return err_set(e, ERR_DENIED, "an escape is no hexadecimal number");
		out->data[out->len++] = (char)(high << 4 | low);
		i += 2;
	}
	return 0;
}

static int read_pem(struct found *f, struct str value, struct err *e)
{
	struct buf text = BUF_INIT;
	struct pem_blocks blocks;
	int rc = -1;

	if (unescape(&text, value, e) < 0 || pem_parse(&blocks, buf_str(&text), e) < 0)
		goto out;
	rc = blocks.count ? 0 : err_set(e, ERR_DENIED, "no PEM block");
	for (size_t i = 0; rc == 0 && i < blocks.count; i++) {
		if (strcmp(blocks.items[i].label, "CERTIFICATE") != 0)
			rc = err_set(e, ERR_DENIED, "a PEM block is no certificate");
		else
			rc = found_add(f, buf_str(&blocks.items[i].der), e);
	}
	pem_free(&blocks);
out:
	buf_deinit(&text);
	return rc;
}

/* RFC 8941 3.3.5, without parameters: RFC 9440 defines none. */
static int read_sequence(struct found *f, struct str item, struct err *e)
{
	struct buf der = BUF_INIT;
	int rc = -1;

	if (item.len < 2 || item.ptr[0] != ':' || item.ptr[item.len - 1] != ':')
		return err_set(e, ERR_DENIED, "no byte sequence");
	if (base64_decode(&der, str_sub(item, 1, item.len - 1), e) == 0)
		rc = found_add(f, buf_str(&der), e);
	buf_deinit(&der);
	return rc;
}

static int read_sequences(struct found *f, const struct http_fields *fields, struct err *e)
{
	for (size_t i = 0; i < fields->count; i++) {
		struct str rest = fields->items[i].value, item;

		if (!str_ieq(fields->items[i].name, STR("client-cert-chain")))
			continue;
		while (str_split(&rest, ',', &item))
			if (read_sequence(f, str_trim(item), e) < 0)
				return -1;
	}
	return 0;
}

static int read_value(struct found *f, const struct http_fields *fields,
		      enum cert_header_format format, struct str value, struct err *e)
{
	switch (format) {
	case CERT_HEADER_BASE64:
		return read_base64(f, value, e);
	case CERT_HEADER_URL:
		return read_pem(f, value, e);
	case CERT_HEADER_RFC9440:
		break;
	}
	if (read_sequence(f, value, e) < 0)
		return -1;
	return read_sequences(f, fields, e);
}

int cert_header_read(const struct http_fields *fields, struct str name,
		     enum cert_header_format format, X509 **leaf, STACK_OF(X509) * *chain,
		     struct err *e)
{
	size_t count = http_fields_count(fields, name);
	struct str value = str_trim(http_fields_get(fields, name));
	struct found f = {0};
	int rc;

	if (count > 1)
		return err_set(e, ERR_DENIED, "the header field is there %zu times", count);
	if (value.len > TEXT_MAX)
		return err_set(e, ERR_DENIED, "the header field has %zu bytes", value.len);
	rc = value.len ? read_value(&f, fields, format, value, e) : 0;
	ERR_clear_error();
	if (rc < 0) {
		found_deinit(&f);
		if (e && e->kind != ERR_MEMORY)
			e->kind = ERR_DENIED;
		return -1;
	}
	*leaf = f.leaf;
	*chain = f.chain;
	return 0;
}
