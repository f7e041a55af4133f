/* OCSP responses that are stored and stapled: from operators and from responders. */
#include <stdint.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "common/pki/staple.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made anew in each run: no response in the corpus is signed by it, so that none may hold. */
static void make_pair(X509 **leaf, X509 **issuer)
{
	const struct cert_make ca = {
		.common_name = "root", .ca = true, .not_after = clock_wall_s() + 86400};
	const struct cert_make server = {
		.common_name = "server", .server = true, .not_after = clock_wall_s() + 86400};
	EVP_PKEY *key = NULL;

	if (key_generate(&key, KEY_EC_P256, NULL) < 0 ||
	    cert_make(issuer, &ca, key, NULL, NULL, NULL) < 0 ||
	    cert_make(leaf, &server, key, *issuer, key, NULL) < 0)
		abort();
	EVP_PKEY_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static X509 *leaf, *issuer;
	struct str der = {(const char *)data, size};
	struct staple_answer a;
	int64_t from, until;

	if (!leaf)
		make_pair(&leaf, &issuer);
	if (staple_span(der, &from, &until, NULL) != 0)
		from = until = 0;
	if (staple_check(der, leaf, issuer, NULL) == 0 ||
	    staple_read(der, leaf, issuer, &a, NULL) == 0)
		abort();
	return 0;
}
