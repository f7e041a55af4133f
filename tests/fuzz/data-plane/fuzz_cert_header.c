/* A client's certificate in header fields: the first byte chooses the format, a line feed ends
 * Client-Cert and begins Client-Cert-Chain. What is read is shown again. */
#include <stdint.h>
#include <stdlib.h>

#include "data-plane/plugins/cert_header.h"
#include "data-plane/plugins/client_cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(X509 *leaf)
{
	struct client_cert_names names;
	struct arena a;

	arena_init(&a, 0);
	if (client_cert_names(leaf, &a, &names, NULL) == 0) {
		for (size_t i = 0; i < names.count; i++)
			if (names.items[i].len == 0 ||
			    memchr(names.items[i].ptr, 0, names.items[i].len))
				abort();
	}
	(void)client_cert_dn(X509_get_subject_name(leaf), &a);
	(void)client_cert_serial(leaf, &a);
	(void)client_cert_escaped_pem(leaf, &a);
	arena_deinit(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size}, value, rest;
	struct http_field items[] = {{{"client-cert", 11}, {0}}, {{"client-cert-chain", 17}, {0}}};
	struct http_fields fields = {items, array_len(items), 0};
	struct client_cert_trust trust = {NULL, true};
	STACK_OF(X509) *chain = NULL;
	X509 *leaf = NULL;
	size_t end;

	if (size == 0)
		return 0;
	rest = str_sub(text, 1, text.len);
	end = str_find(rest, '\n', 0);
	value = str_sub(rest, 0, end);
	items[0].value = value;
	items[1].value = str_sub(rest, end + 1, rest.len);
	if (cert_header_read(&fields, STR("client-cert"), (enum cert_header_format)(data[0] % 3),
			     &leaf, &chain, NULL) < 0)
		return 0;
	if (leaf) {
		show(leaf);
		trust.anchors = chain;
		(void)!client_cert_verify(leaf, chain, &trust, NULL, NULL);
	}
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return 0;
}
