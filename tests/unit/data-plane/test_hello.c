/* ClientHellos, whole and broken, real and made by hand, in any pieces (TLS-14). */
#include "data-plane/tls/hello.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/lib/oom.h"

/* A message out of parts; zeros give a good one. */
struct made {
	const char *name; /* bytes of the server_name extension's list; NULL: no extension */
	size_t name_len;
	int more;	     /* added to the message's length */
	int extensions_more; /* added to the extensions' length */
	size_t padding;	     /* bytes of another extension */
	bool no_extensions, twice;
};

static void put(struct buf *b, size_t n, size_t value)
{
	for (size_t i = n; i-- > 0;) {
		unsigned char byte = (unsigned char)(value >> (8 * i));

		assert_int_equal(buf_add(b, &byte, 1, NULL), 0);
	}
}

static void put_bytes(struct buf *b, const char *bytes, size_t n)
{
	assert_int_equal(buf_add(b, bytes, n, NULL), 0);
}

static void put_zeros(struct buf *b, size_t n)
{
	while (n-- > 0)
		put(b, 1, 0);
}

static void put_name(struct buf *x, const struct made *m)
{
	put(x, 2, 0);
	put(x, 2, m->name_len);
	put_bytes(x, m->name, m->name_len);
}

/* The handshake message. */
static void make(struct buf *out, const struct made *m)
{
	struct buf x = BUF_INIT, body = BUF_INIT;

	put(&x, 2, 0x2a2a); /* GREASE */
	put(&x, 2, 0);
	if (m->padding) {
		put(&x, 2, 21);
		put(&x, 2, m->padding);
		put_zeros(&x, m->padding);
	}
	if (m->name)
		put_name(&x, m);
	if (m->twice)
		put_name(&x, m);
	put(&body, 2, 0x303);
	put_zeros(&body, 32);
	put(&body, 1, 0);
	put(&body, 2, 2);
	put(&body, 2, 0x1301);
	put(&body, 1, 1);
	put(&body, 1, 0);
	if (!m->no_extensions) {
		put(&body, 2, x.len + (size_t)m->extensions_more);
		put_bytes(&body, x.data, x.len);
	}
	put(out, 1, 1);
	put(out, 3, body.len + (size_t)m->more);
	put_bytes(out, body.data, body.len);
	buf_deinit(&x);
	buf_deinit(&body);
}

/* The message in records of at most `fragment` bytes. */
static void frame(struct buf *out, struct str message, size_t fragment)
{
	for (size_t at = 0; at < message.len; at += fragment) {
		struct str piece = str_sub(message, at, at + fragment);

		put(out, 1, 22);
		put(out, 2, 0x301);
		put(out, 2, piece.len);
		put_bytes(out, piece.ptr, piece.len);
	}
}

static enum hello_result read_in_steps(struct str bytes, size_t step, struct hello *h,
				       struct err *e)
{
	enum hello_result rc = HELLO_MORE;
	struct hello_reader r;

	hello_reader_init(&r);
	for (size_t n = step; rc == HELLO_MORE; n += step) {
		rc = hello_read(&r, str_sub(bytes, 0, n), h, e);
		if (n >= bytes.len)
			break;
	}
	hello_reader_deinit(&r);
	return rc;
}

static const struct {
	struct made m;
	enum hello_result want;
	const char *sni;
} named[] = {
	{{.name = "\0\x05\0\0\x02"
		  "ab",
	  .name_len = 7},
	 HELLO_DONE,
	 "ab"},
	{{.name = "\0\x09\0\0\x06"
		  "A.eX_1",
	  .name_len = 11},
	 HELLO_DONE,
	 "a.ex_1"},
	{{.name = "\0\x06\0\0\x03"
		  "ab.",
	  .name_len = 8},
	 HELLO_DONE,
	 "ab"},
	{{.name = "\0\x05\x01\0\x02"
		  "ab",
	  .name_len = 7},
	 HELLO_DONE,
	 ""}, /* type 1 */
	{{.name = NULL}, HELLO_DONE, ""},
	{{.no_extensions = true}, HELLO_DONE, ""},
	{{.padding = 60000,
	  .name = "\0\x05\0\0\x02"
		  "ab",
	  .name_len = 7},
	 HELLO_DONE,
	 "ab"},
	{{.name = "\0\x05\0\0\x02"
		  "ab",
	  .name_len = 7,
	  .twice = true},
	 HELLO_BAD,
	 NULL},
	{{.name = "\0\x0a\0\0\x02"
		  "ab\0\0\x02"
		  "cd",
	  .name_len = 12},
	 HELLO_BAD,
	 NULL},
	{{.name = "\0\x05\0\0\x02"
		  "a\0",
	  .name_len = 7},
	 HELLO_BAD,
	 NULL},
	{{.name = "\0\x05\0\0\x02"
		  "a/",
	  .name_len = 7},
	 HELLO_BAD,
	 NULL},
	{{.name = "\0\x05\0\0\x02"
		  "a\xc3",
	  .name_len = 7},
	 HELLO_BAD,
	 NULL},
	{{.name = "\0\x04\0\0\x01.", .name_len = 6}, HELLO_BAD, NULL},
	{{.name = "\0\x03\0\0\0", .name_len = 5}, HELLO_BAD, NULL},
	{{.name = "\0\0", .name_len = 2}, HELLO_BAD, NULL},
	{{.name = "", .name_len = 0}, HELLO_BAD, NULL},
	{{.name = "\0\x05\0\0\x03"
		  "ab",
	  .name_len = 7},
	 HELLO_BAD,
	 NULL},
	{{.name = "\0\x06\0\0\x02"
		  "ab",
	  .name_len = 7},
	 HELLO_BAD,
	 NULL},
	{{.name = "\0\x04\0\0\x02"
		  "ab",
	  .name_len = 7},
	 HELLO_BAD,
	 NULL},
	{{.more = -1}, HELLO_BAD, NULL},
	{{.more = 1}, HELLO_MORE, NULL},
	{{.extensions_more = 1}, HELLO_BAD, NULL},
	{{.extensions_more = -1}, HELLO_BAD, NULL},
	{{.padding = 65536}, HELLO_BAD, NULL},
	{{.more = 1 << 20}, HELLO_BAD, NULL},
};

static void test_names(void **state)
{
	static const size_t fragments[] = {1, 7, 16384};
	static const size_t steps[] = {1, 5, 1 << 20};

	(void)state;
	for (size_t i = 0; i < array_len(named) * 9; i++) {
		struct buf message = BUF_INIT, bytes = BUF_INIT;
		struct hello h = {0};
		size_t fragment = fragments[i / 3 % 3];

		/* In records of a byte each a long one is over the limit. */
		if (named[i / 9].m.padding && fragment < 16384)
			continue;
		make(&message, &named[i / 9].m);
		frame(&bytes, buf_str(&message), fragment);
		if (read_in_steps(buf_str(&bytes), steps[i % 3], &h, NULL) != named[i / 9].want)
			fail_msg("row %zu, fragments %zu, steps %zu", i / 9, fragment,
				 steps[i % 3]);
		if (named[i / 9].sni)
			assert_true(
				str_eq((struct str){h.sni, h.sni_len}, str_from(named[i / 9].sni)));
		buf_deinit(&message);
		buf_deinit(&bytes);
	}
}

static void test_other_beginnings(void **state)
{
	static const struct {
		struct str bytes;
		enum hello_result want;
	} rows[] = {
		{{"", 0}, HELLO_MORE},
		{{"\x16", 1}, HELLO_MORE},
		{{"\x16\x03\x01\x00", 4}, HELLO_MORE},
		{{"\x16\x03\x01\x00\x05\x01", 6}, HELLO_MORE},
		{{"G", 1}, HELLO_BAD},
		{{"GET / HTTP/1.1\r\n", 16}, HELLO_BAD},
		{{"\x80\x2e\x01\x03\x01", 5}, HELLO_BAD},	  /* SSL 2 */
		{{"\x15\x03\x01\x00\x02\x02\x28", 7}, HELLO_BAD}, /* an alert */
		{{"\x16\x02\x00\x00\x05\x01", 6}, HELLO_BAD},
		{{"\x16\x03\x01\x00\x00", 5}, HELLO_BAD},
		{{"\x16\x03\x01\x40\x01", 5}, HELLO_BAD},
		{{"\x16\x03\x01\x00\x04\x02\0\0\0", 9}, HELLO_BAD}, /* a ServerHello */
		{{"\x16\x03\x01\x00\x04\x01\0\0\0", 9}, HELLO_BAD}, /* empty */
		{{"\x16\x03\x01\x00\x02\x01\0\x15", 8}, HELLO_BAD}, /* an alert inside */
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++) {
		struct hello h;

		if (read_in_steps(rows[i].bytes, 1, &h, NULL) != rows[i].want)
			fail_msg("row %zu", i);
	}
}

/* What OpenSSL says: post-quantum shares where it has them, ALPN, a name. */
static void test_real(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct hello h = {0};
	char bytes[8192];
	SSL *ssl;
	int n;

	(void)state;
	assert_non_null(ctx);
	ssl = SSL_new(ctx);
	assert_non_null(ssl);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	assert_int_equal(SSL_set_tlsext_host_name(ssl, "WWW.example.com"), 1);
	assert_int_equal(SSL_set_alpn_protos(ssl, (const unsigned char *)"\x02h2", 3), 0);
	assert_int_equal(SSL_connect(ssl), -1);
	n = BIO_read(SSL_get_wbio(ssl), bytes, sizeof(bytes));
	assert_true(n > 100);
	for (size_t step = 1; step < 9000; step *= 7) {
		assert_int_equal(read_in_steps((struct str){bytes, (size_t)n}, step, &h, NULL),
				 HELLO_DONE);
		assert_int_equal(h.sni_len, strlen("www.example.com"));
		assert_memory_equal(h.sni, "www.example.com", h.sni_len);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static void test_out_of_memory(void **state)
{
	struct buf message = BUF_INIT, bytes = BUF_INIT;
	bool happened = true;

	(void)state;
	make(&message, &(struct made){.name = "\0\x05\0\0\x02"
					      "ab",
				      .name_len = 7});
	frame(&bytes, buf_str(&message), 9);
	for (unsigned long n = 0; happened; n++) {
		struct err e = ERR_INIT;
		enum hello_result rc;
		struct hello h;

		oom_fail_at(n);
		rc = read_in_steps(buf_str(&bytes), 20, &h, &e);
		happened = oom_happened();
		assert_int_equal(rc, happened ? HELLO_BAD : HELLO_DONE);
		if (happened)
			assert_int_equal(e.kind, ERR_MEMORY);
	}
	buf_deinit(&message);
	buf_deinit(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_other_beginnings),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
