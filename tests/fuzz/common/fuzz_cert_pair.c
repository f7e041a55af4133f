/* A certificate and its key from outside: PEM texts with a NUL between them, or one DER
 * certificate. */
#include "common/pki/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int ignore_name(struct str name, void *arg, struct err *e)
{
	(void)name;
	(void)arg;
	(void)e;
	return 0;
}

static void try_der(struct str der)
{
	struct cert_info info;
	struct err e = ERR_INIT;
	struct buf pem = BUF_INIT;
	struct cert_pair pair;
	X509 *cert = NULL;

	if (cert_from_der(&cert, der, &e) < 0)
		return;
	cert_info(cert, &info);
	(void)!cert_dns_names(cert, ignore_name, NULL, &e);
	cert_covers(cert, STR("a.example.com"));
	X509_free(cert);
	if (pem_write(&pem, "CERTIFICATE", der, &e) == 0 &&
	    cert_pair_from_pem(&pair, buf_str(&pem), STR("no key"), &e) == 0)
		cert_pair_free(&pair);
	(void)!cert_pair_check_der(der, &der, 1, der, &e);
	buf_deinit(&pem);
}

static void try_pem(struct str text)
{
	size_t nul = str_find(text, '\0', 0);
	struct str cert = str_sub(text, 0, nul);
	struct str key = str_sub(text, nul + 1, text.len);
	struct err e = ERR_INIT;
	struct cert_pair pair;

	if (cert_pair_from_pem(&pair, cert, key, &e) == 0)
		cert_pair_free(&pair);
	if (cert_pair_unpack(&pair, cert, key, &e) == 0)
		cert_pair_free(&pair);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size};

	if (size > 0 && data[0] == 0x30) /* SEQUENCE */
		try_der(text);
	else
		try_pem(text);
	return 0;
}
