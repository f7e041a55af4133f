/* tls-handshake-modifier (kong-acme-hybrid.md 5.3): the handshake asks for a client certificate,
 * and nobody verifies it. */
#include "data-plane/plugins/plugins.h"

static bool asks(const void *config)
{
	(void)config;
	return true;
}

const struct plugin_type plugin_tls_handshake_modifier = {
	.kind = {.name = "tls-handshake-modifier", .asks_certificate = asks},
	.priority = 997,
};
