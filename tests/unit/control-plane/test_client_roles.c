/* The key admin_client_roles, and which certificates fit it. */
#include "control-plane/admin/client_roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/lib/testcert.h"

static const struct {
	const char *text;
	const char *want; /* NULL: accepted */
	size_t count;
} texts[] = {
	{NULL, NULL, 0},
	{"admin:*", NULL, 1},
	{"admin:cn=a", NULL, 1},
	{"  admin : cn=Alice Smith ,operator+keys:dns=a.b , reader:uri=spiffe://a/b:c=d", NULL, 3},
	{"reader:email=a@b.c,reader:*", NULL, 2},
	{"", "\"\": expected ROLE:NAME", 0},
	{"admin:*,", "\"\": expected ROLE:NAME", 0},
	{"admin", "\"admin\": expected ROLE:NAME", 0},
	{"admin cn=a", "\"admin cn=a\": expected ROLE:NAME", 0},
	{":cn=a", "\":cn=a\": expected one of: reader, operator, admin", 0},
	{"root:cn=a", "\"root:cn=a\": expected one of: reader, operator, admin", 0},
	{"none:cn=a", "\"none:cn=a\": expected one of: reader, operator, admin", 0},
	{"keys:cn=a", "\"keys:cn=a\": expected one of: reader, operator, admin", 0},
	{"+keys:cn=a", "\"+keys:cn=a\": expected one of: reader, operator, admin", 0},
	{"reader+keys:*", "\"reader+keys:*\": only operator takes +keys", 0},
	{"admin+keys:*", "\"admin+keys:*\": only operator takes +keys", 0},
	{"admin:", "\"admin:\": expected cn=, dns=, email= or uri= with a name, or *", 0},
	{"admin:a", "\"admin:a\": expected cn=, dns=, email= or uri= with a name, or *", 0},
	{"admin:cn=", "\"admin:cn=\": expected cn=, dns=, email= or uri= with a name, or *", 0},
	{"admin:CN=a", "\"admin:CN=a\": expected cn=, dns=, email= or uri= with a name, or *", 0},
	{"admin:*a", "\"admin:*a\": expected cn=, dns=, email= or uri= with a name, or *", 0},
	{"admin:ip=1.2.3.4",
	 "\"admin:ip=1.2.3.4\": expected cn=, dns=, email= or uri= with a name, or *", 0},
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_len(texts); i++) {
		struct client_roles r;
		struct err e = ERR_INIT;
		int rc = client_roles_parse(&r, texts[i].text, &e);

		if (rc != (texts[i].want ? -1 : 0) ||
		    (rc < 0 && strcmp(e.message, texts[i].want) != 0) ||
		    (rc == 0 && r.count != texts[i].count))
			fail_msg("%s: %s", texts[i].text ? texts[i].text : "-",
				 rc < 0 ? e.message : "accepted");
	}
}

static void test_too_many(void **state)
{
	struct buf text = BUF_INIT;
	struct client_roles r;
	struct err e = ERR_INIT;

	(void)state;
	for (int i = 0; i < CLIENT_ROLES_MAX; i++)
		assert_int_equal(buf_addf(&text, NULL, "%sreader:cn=a%d", i ? "," : "", i), 0);
	assert_int_equal(client_roles_parse(&r, text.data, &e), 0);
	assert_int_equal(buf_add_str(&text, STR(",reader:*"), NULL), 0);
	assert_int_equal(client_roles_parse(&r, text.data, &e), -1);
	assert_string_equal(e.message, "more than 64 entries");
	buf_deinit(&text);
}

static const struct {
	const char *roles, *common_name, *san;
	enum role want; /* ROLE_NONE: nothing fits */
	bool keys;
} finds[] = {
	{"admin:cn=alice", "alice", NULL, ROLE_ADMIN, true},
	{"admin:cn=alice", "Alice", NULL, ROLE_NONE, false},
	{"admin:cn=alice", "alice2", NULL, ROLE_NONE, false},
	{"admin:cn=alice", "alic", NULL, ROLE_NONE, false},
	{"admin:cn=alice", "bob", "DNS:alice", ROLE_NONE, false},
	{"admin:dns=alice", "alice", NULL, ROLE_NONE, false},
	{"operator:dns=a.b", "x", "DNS:A.b", ROLE_OPERATOR, false},
	{"operator+keys:dns=a.b", "x", "DNS:c.d,DNS:a.b", ROLE_OPERATOR, true},
	{"operator:dns=a.b", "x", "DNS:x.a.b", ROLE_NONE, false},
	{"operator:dns=*.a.b", "x", "DNS:x.a.b", ROLE_NONE, false},
	{"operator:dns=a.b", "x", "DNS:*.b", ROLE_NONE, false},
	{"operator:dns=a.b", "x", "URI:a.b", ROLE_NONE, false},
	{"reader:uri=spiffe://a/b", "x", "URI:spiffe://a/b", ROLE_READER, false},
	{"reader:uri=spiffe://a/b", "x", "URI:spiffe://A/b", ROLE_NONE, false},
	{"reader:email=a@b.c", "x", "email:a@b.c", ROLE_READER, false},
	{"reader:email=a@b.c", "a@b.c", NULL, ROLE_NONE, false},
	{"reader:*", "x", NULL, ROLE_READER, false},
	{"reader:*,admin:cn=alice", "alice", NULL, ROLE_READER, false},
	{"admin:cn=alice,reader:*", "alice", NULL, ROLE_ADMIN, true},
	{NULL, "alice", NULL, ROLE_NONE, false},
};

static void test_finds(void **state)
{
	struct testca ca;

	(void)state;
	testca_init(&ca, "ca");
	for (size_t i = 0; i < array_len(finds); i++) {
		struct testcert_options o = {.name = finds[i].common_name, .san = finds[i].san};
		struct client_roles roles;
		const struct client_role *got;
		X509 *cert;
		EVP_PKEY *key;

		assert_int_equal(client_roles_parse(&roles, finds[i].roles, NULL), 0);
		testcert_issue(&ca, &o, &cert, &key);
		got = client_roles_find(&roles, cert);
		if ((got ? got->role : ROLE_NONE) != finds[i].want ||
		    (got && got->keys != finds[i].keys))
			fail_msg("%s: CN=%s, %s", finds[i].roles ? finds[i].roles : "-",
				 finds[i].common_name, finds[i].san ? finds[i].san : "-");
		X509_free(cert);
		EVP_PKEY_free(key);
	}
	testca_deinit(&ca);
}

/* Adds one more common name, byte for byte. */
static void add_name(X509 *cert, const char *bytes, int len)
{
	X509_NAME *subject = X509_NAME_dup(X509_get_subject_name(cert));

	assert_non_null(subject);
	assert_int_equal(X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_UTF8STRING,
						    (const unsigned char *)bytes, len, -1, 0),
			 1);
	assert_int_equal(X509_set_subject_name(cert, subject), 1);
	X509_NAME_free(subject);
}

static void test_strange_subjects(void **state)
{
	struct client_roles roles;
	X509 *cert = X509_new();
	char text[CLIENT_SUBJECT_SIZE];

	(void)state;
	assert_int_equal(client_roles_parse(&roles, "admin:cn=alice", NULL), 0);
	assert_null(client_roles_find(&roles, cert));
	client_subject(cert, text);
	assert_string_equal(text, "-");
	add_name(cert, "alice\0.evil", 11);
	assert_null(client_roles_find(&roles, cert));
	client_subject(cert, text);
	assert_string_equal(text, "CN=alice\\00.evil");
	X509_free(cert);
	cert = X509_new();
	add_name(cert, "alice", 5);
	assert_non_null(client_roles_find(&roles, cert));
	add_name(cert, "bob\n\xc3\xa9", 6);
	assert_null(client_roles_find(&roles, cert));
	client_subject(cert, text);
	assert_string_equal(text, "CN=bob\\0A\\C3\\A9,CN=alice");
	X509_free(cert);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_finds),
		cmocka_unit_test(test_strange_subjects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
