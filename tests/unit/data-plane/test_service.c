/* tables/service: a service out of its fields. */
#include "data-plane/tables/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/lib/entity_bed.h"
#include "tests/unit/lib/oom.h"

static struct entity_bed bed;

static int setup(void **state)
{
	(void)state;
	entity_bed_init(&bed, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	entity_bed_deinit(&bed);
	return 0;
}

/* Lives until the next change. */
static const struct service *put(const char *fields)
{
	const struct service *s;

	entity_bed_put(&bed, ENTITIES_SERVICE, 1, fields);
	s = service_find(&bed.tables->entities, tables_enter(bed.tables), entity_bed_id(&bed, 1));
	rcu_leave();
	assert_non_null(s);
	return s;
}

static void test_defaults(void **state)
{
	const struct service *s = put("host=A.Example");

	(void)state;
	assert_true(str_eq(s->host, STR("a.example")));
	assert_null(s->name.ptr);
	assert_null(s->path.ptr);
	assert_int_equal(s->protocol, SERVICE_HTTP);
	assert_true(s->enabled);
	assert_int_equal(s->port, 80);
	assert_int_equal(s->retries, 5);
	assert_int_equal(s->connect_ms, 60000);
	assert_int_equal(s->write_ms, 60000);
	assert_int_equal(s->read_ms, 60000);
	assert_null(s->client_certificate);
	assert_null(s->ca_certificates);
	assert_int_equal(s->ca_count, 0);
	assert_int_equal(s->tls_verify, -1);
	assert_int_equal(s->tls_verify_depth, -1);
}

static void test_everything(void **state)
{
	const struct service *s =
		put("name=One protocol=https host=a port=%8443 path=/Base retries=%0 "
		    "connect_timeout=%1 write_timeout=%2147483646 read_timeout=%3 enabled=!no "
		    "client_certificate=#c ca_certificates=[#a,text,#b] tls_verify=! "
		    "tls_verify_depth=%0");

	(void)state;
	assert_true(str_eq(s->name, STR("One")));
	assert_true(str_eq(s->path, STR("/Base")));
	assert_int_equal(s->protocol, SERVICE_HTTPS);
	assert_false(s->enabled);
	assert_int_equal(s->port, 8443);
	assert_int_equal(s->retries, 0);
	assert_int_equal(s->connect_ms, 1);
	assert_int_equal(s->write_ms, 2147483646);
	assert_int_equal(s->read_ms, 3);
	assert_int_equal(s->client_certificate[15], 'c');
	assert_int_equal(s->ca_count, 2);
	assert_int_equal(s->ca_certificates[0], 'a');
	assert_int_equal(s->ca_certificates[31], 'b');
	assert_int_equal(s->tls_verify, 1);
	assert_int_equal(s->tls_verify_depth, 0);
	assert_int_equal(put("host=a tls_verify=!no")->tls_verify, 0);
}

static void test_protocols(void **state)
{
	static const struct {
		const char *fields;
		enum service_protocol want;
	} rows[] = {
		{"host=a protocol=http", SERVICE_HTTP},
		{"host=a protocol=https", SERVICE_HTTPS},
		{"host=a protocol=grpc", SERVICE_GRPC},
		{"host=a protocol=grpcs", SERVICE_GRPCS},
		{"host=a protocol=tcp", SERVICE_TCP},
		{"host=a protocol=tls", SERVICE_TLS},
		{"host=a protocol=tls_passthrough", SERVICE_TLS_PASSTHROUGH},
		{"host=a protocol=udp", SERVICE_UDP},
	};

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(put(rows[i].fields)->protocol, rows[i].want);
}

static void test_refused(void **state)
{
	static const struct {
		const char *fields, *why;
	} rows[] = {
		{"", "host: there is none"},
		{"host=", "host: there is none"},
		{"host=%1", "host: there is none"},
		{"host=a protocol=HTTP", "protocol: \"HTTP\" is not known"},
		{"host=a protocol=ws", "protocol: \"ws\" is not known"},
		{"host=a protocol=", "protocol: \"\" is not known"},
		{"host=a port=%-1", "port: -1 is not within 0 and 65535"},
		{"host=a port=%65536", "port: 65536 is not within 0 and 65535"},
		{"host=a retries=%32768", "retries: 32768 is not within 0 and 32767"},
		{"host=a connect_timeout=%0", "connect_timeout: 0 is not within 1 and 2147483646"},
		{"host=a write_timeout=%2147483647",
		 "write_timeout: 2147483647 is not within 1 and 2147483646"},
		{"host=a read_timeout=%-60000",
		 "read_timeout: -60000 is not within 1 and 2147483646"},
		{"host=a tls_verify_depth=%65", "tls_verify_depth: 65 is not within 0 and 64"},
		{"host=a path=base", "path: it begins with /"},
	};
	static char big[16 + ENTITY_TEXT_MAX + 2] = "host=";

	(void)state;
	for (size_t i = 0; i < array_len(rows); i++)
		assert_string_equal(entity_bed_refusal(&bed, ENTITIES_SERVICE, rows[i].fields),
				    rows[i].why);
	memset(big + 5, 'a', ENTITY_TEXT_MAX);
	assert_string_equal(entity_bed_refusal(&bed, ENTITIES_SERVICE, big), "");
	big[5 + ENTITY_TEXT_MAX] = 'a';
	assert_string_equal(entity_bed_refusal(&bed, ENTITIES_SERVICE, big),
			    "host: text of 2049 bytes: at most 2048 are allowed");
	assert_int_equal(atomic_load(&bed.tables->entities.kinds[ENTITIES_SERVICE].count), 0);
}

static void stage(void *arg)
{
	struct err e = ERR_INIT;

	tables_begin(bed.tables, false);
	if (entity_bed_stage(&bed, ENTITIES_SERVICE, 1, arg, &e) < 0)
		assert_int_equal(e.kind, ERR_MEMORY);
	tables_abort(bed.tables);
}

static void test_out_of_memory(void **state)
{
	char fields[] = "name=a host=b path=/c client_certificate=#c ca_certificates=[#a]";

	(void)state;
	stage(fields);
	assert_true(oom_each(stage, fields) >= 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protocols, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
