#include "data-plane/sync/verification.h"

#include "data-plane/tables/fields.h"

static int refuse(const char *field, struct err *e)
{
	return err_set(e, ERR_INVALID, "%s: false is not allowed with tls_certificate_verify",
		       field);
}

static bool is_off(const struct fields *f, const char *name)
{
	return !fields_flag(f, name, true);
}

int verification_check(const struct change *c, struct err *e)
{
	const struct fields *f;

	switch (c->kind) {
	case CHANGE_SERVICE:
		return is_off(c->u.fields, "tls_verify") ? refuse("tls_verify", e) : 0;
	case CHANGE_UPSTREAM:
		f = fields_record(fields_record(c->u.fields, "healthchecks"), "active");
		return is_off(f, "https_verify_certificate")
			       ? refuse("healthchecks.active.https_verify_certificate", e)
			       : 0;
	case CHANGE_PLUGIN:
		f = fields_record(c->u.fields, "config");
		return is_off(f, "ssl_verify") ? refuse("config.ssl_verify", e) : 0;
	default:
		return 0;
	}
}
