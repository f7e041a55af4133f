#include "control-plane/model/verification.h"

#include <string.h>

/* What is refused, by entity. */
static const struct {
	const char *entity;
	const char *steps[4]; /* NULL-terminated */
	const char *path;
} fields[] = {
	{"services", {"tls_verify"}, "tls_verify"},
	{"upstreams",
	 {"healthchecks", "active", "https_verify_certificate"},
	 "healthchecks.active.https_verify_certificate"},
	{"plugins", {"config", "ssl_verify"}, "config.ssl_verify"},
};

void verification_check(const struct entity *t, const json_t *row, struct violations *v)
{
	for (size_t i = 0; row && i < array_len(fields); i++) {
		const json_t *value = row;

		if (strcmp(t->name, fields[i].entity) != 0)
			continue;
		for (size_t k = 0; fields[i].steps[k]; k++)
			value = json_object_get(value, fields[i].steps[k]);
		if (json_is_false(value))
			violations_add(v, fields[i].path,
				       "must not be false while 'tls_certificate_verify' is on");
	}
}
