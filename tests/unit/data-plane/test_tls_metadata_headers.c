/* tls-metadata-headers: the upstream is told of the client's certificate, and of nothing that the
 * client says instead (TR-04). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data-plane/plugins/plugins.h"
#include "data-plane/tables/fields.h"
#include "tests/unit/lib/fake_request.h"
#include "tests/unit/lib/testentity.h"
#include "tests/unit/lib/testpki.h"

static const char *const names[] = {
	"X-Client-Cert",
	"X-Client-Cert-Serial",
	"X-Client-Cert-Issuer-DN",
	"X-Client-Cert-Subject-DN",
	"X-Client-Cert-Fingerprint",
};

static void run(struct request *r, const char *fields, X509 *cert)
{
	char config[256] = "";

	assert_true(plugin_tls_metadata_headers.kind.config_size <= sizeof(config));
	fake_request_init(r, NULL);
	r->certificate = cert;
	assert_int_equal(
		plugin_tls_metadata_headers.kind.configure(
			config, fields_of(testentity_record(&r->arena, fields)), &r->arena, NULL),
		0);
	assert_int_equal(plugin_tls_metadata_headers.access(r, config), PLUGIN_NEXT);
}

static void test_told(void **state)
{
	struct testca root, leaf;
	struct request r;

	(void)state;
	testpki_make(&root, NULL, &(struct testpki_options){.name = "root", .ca = true});
	testpki_make(&leaf, &root, &(struct testpki_options){.name = "leaf"});
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(leaf.cert), 0xbeef), 1);
	run(&r, "inject_client_cert_details=!", leaf.cert);
	assert_string_equal(fake_request_field(&r, "X-Client-Cert-Serial"), "BEEF");
	assert_string_equal(fake_request_field(&r, "X-Client-Cert-Issuer-DN"), "CN=root");
	assert_string_equal(fake_request_field(&r, "X-Client-Cert-Subject-DN"), "CN=leaf");
	assert_int_equal(strlen(fake_request_field(&r, "X-Client-Cert-Fingerprint")), 40);
	assert_true(str_starts(str_from(fake_request_field(&r, "X-Client-Cert")),
			       STR("-----BEGIN%20CERTIFICATE-----%0AMII")));
	fake_request_deinit(&r);

	run(&r, "inject_client_cert_details=! client_serial_header_name=X-Mine", leaf.cert);
	assert_string_equal(fake_request_field(&r, "x-mine"), "BEEF");
	assert_null(fake_request_field(&r, "X-Client-Cert-Serial"));
	fake_request_deinit(&r);

	/* Not asked to, or nothing to tell: nobody else tells it either. */
	run(&r, "client_serial_header_name=X-Mine", leaf.cert);
	assert_string_equal(fake_request_field(&r, "x-mine"), "-");
	fake_request_deinit(&r);
	run(&r, "inject_client_cert_details=!", NULL);
	for (size_t i = 0; i < array_len(names); i++)
		assert_string_equal(fake_request_field(&r, names[i]), "-");
	fake_request_deinit(&r);
	testca_deinit(&root);
	testca_deinit(&leaf);
}

/* Removed from every request, wherever an instance applies. */
static void test_own_fields(void **state)
{
	const char *const *own = plugin_tls_metadata_headers.own_fields;
	size_t n = 0;

	(void)state;
	for (; own[n]; n++)
		assert_true(str_ieq(str_from(own[n]), str_from(names[n])));
	assert_int_equal(n, array_len(names));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_told),
					   cmocka_unit_test(test_own_fields)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
