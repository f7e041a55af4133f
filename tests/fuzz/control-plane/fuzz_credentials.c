/* What strangers and operators say of who may do what: request headers and the tokens in them, and
 * the key admin_client_roles. First byte: which. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "control-plane/admin/client_roles.h"
#include "control-plane/admin/credentials.h"
#include "control-plane/admin/origin.h"
#include "control-plane/admin/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(struct str text)
{
	struct token t;
	char hash[TOKEN_HASH_HEX_SIZE];

	if (token_parse(&t, text, NULL) < 0)
		return;
	token_hash_hex(&t, hash);
	if (text.len != TOKEN_TEXT_SIZE - 1 || !uuid_is(str_from(t.id)) ||
	    !token_matches(&t, str_from(hash)))
		abort();
}

/* "name: value" lines. */
static void check_headers(struct str text)
{
	struct http_request q = {.scheme = STR("https"), .authority = STR("a:1")};
	struct str line, token;
	struct arena a;

	arena_init(&a, 1 << 20);
	while (str_split(&text, '\n', &line)) {
		size_t colon = str_find(line, ':', 0);

		if (http_fields_add(&q.fields, &a, str_sub(line, 0, colon),
				    str_trim(str_sub(line, colon + 1, line.len))) < 0)
			break;
	}
	if ((credentials_find(&q.fields, &token) == CREDENTIALS_TOKEN) != (token.ptr != NULL))
		abort();
	if (token.ptr)
		check_token(token);
	(void)origin_trusted("https://a, https://b", &q);
	arena_deinit(&a);
}

static void check_roles(struct str text)
{
	struct client_roles roles;
	char *copy = str_dup(text);

	if (copy && client_roles_parse(&roles, copy, NULL) == 0)
		for (size_t i = 0; i < roles.count; i++)
			if (roles.items[i].role == ROLE_NONE ||
			    (roles.items[i].keys && roles.items[i].role == ROLE_READER))
				abort();
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct str text) = {check_token, check_headers, check_roles};

	if (size > 0)
		checks[data[0] % array_len(checks)]((struct str){(const char *)data + 1, size - 1});
	return 0;
}
