#include "control-plane/acme/domain.h"

#include <arpa/inet.h>
#include <libpsl.h>
#include <stdio.h>

/* Loaded once, kept until the end: the newest of the package's file and what libpsl was built with.
 */
static const psl_ctx_t *list(void)
{
	static psl_ctx_t *loaded;

	if (!loaded)
		loaded = psl_latest(NULL);
	return loaded ? loaded : psl_builtin();
}

static bool address_domain(char out[DOMAIN_SIZE], const char *name)
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET, name, bytes) == 1) {
		snprintf(out, DOMAIN_SIZE, "%s", name);
		return true;
	}
	if (inet_pton(AF_INET6, name, bytes) != 1)
		return false;
	memset(bytes + 8, 0, 8);
	if (!inet_ntop(AF_INET6, bytes, out, DOMAIN_SIZE - 4))
		return false;
	memcpy(out + strlen(out), "/64", 4);
	return true;
}

void domain_registered(char out[DOMAIN_SIZE], const char *name)
{
	const char *found = NULL;

	if (address_domain(out, name))
		return;
	if (name[0] == '*' && name[1] == '.')
		name += 2;
	if (list())
		found = psl_registrable_domain(list(), name);
	snprintf(out, DOMAIN_SIZE, "%s", found ? found : name);
}
