#include "data-plane/plugins/plugins.h"

#include <stddef.h>

const struct plugin_type *const plugin_types[] = {
	&plugin_ssl,
	&plugin_mtls_auth,
	&plugin_header_cert_auth,
	&plugin_tls_handshake_modifier,
	&plugin_tls_metadata_headers,
	&plugin_request_size_limiting,
	&plugin_request_termination,
	NULL,
};

const struct plugin_kind *const plugin_kinds[] = {
	&plugin_ssl.kind,
	&plugin_mtls_auth.kind,
	&plugin_header_cert_auth.kind,
	&plugin_tls_handshake_modifier.kind,
	&plugin_tls_metadata_headers.kind,
	&plugin_request_size_limiting.kind,
	&plugin_request_termination.kind,
	NULL,
};

static_assert(array_len(plugin_types) == array_len(plugin_kinds), "the same list twice");
static_assert(array_len(plugin_kinds) <= PLUGIN_KINDS_MAX + 1, "the tables have room for them");
