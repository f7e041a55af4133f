/* What responders and servers of lists answer: the first byte chooses which of them. */
#include <stdint.h>
#include <stdlib.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "common/pki/key.h"
#include "data-plane/plugins/revocation_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made anew in each run: no answer in the corpus is signed by it, so that none may hold. */
static void make_pair(X509 **leaf, X509 **issuer)
{
	const struct cert_make ca = {
		.common_name = "root", .ca = true, .not_after = clock_wall_s() + 86400};
	const struct cert_make client = {
		.common_name = "client", .client = true, .not_after = clock_wall_s() + 86400};
	EVP_PKEY *key = NULL;

	if (key_generate(&key, KEY_EC_P256, NULL) < 0 ||
	    cert_make(issuer, &ca, key, NULL, NULL, NULL) < 0 ||
	    cert_make(leaf, &client, key, *issuer, key, NULL) < 0)
		abort();
	EVP_PKEY_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static X509 *leaf, *issuer;
	struct str answer = {(const char *)data, size};
	X509_CRL *crl = NULL;
	int64_t until = 0;

	if (!leaf)
		make_pair(&leaf, &issuer);
	if (size == 0)
		return 0;
	answer = str_sub(answer, 1, answer.len);
	if (data[0] % 2 == 0) {
		if (revocation_ocsp_read(answer, leaf, issuer, &until, NULL) != REVOCATION_UNKNOWN)
			abort();
		return 0;
	}
	if (revocation_crl_parse(&crl, answer, NULL) < 0)
		return 0;
	(void)revocation_crl_until(crl);
	if (revocation_crl_read(crl, leaf, issuer, NULL) != REVOCATION_UNKNOWN)
		abort();
	X509_CRL_free(crl);
	return 0;
}
