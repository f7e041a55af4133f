#include "common/pki/csr.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/pki/san.h"

static int add_names(X509_REQ *req, const struct str *names, size_t n, struct err *e)
{
	GENERAL_NAMES *san = sk_GENERAL_NAME_new_null();
	STACK_OF(X509_EXTENSION) *extensions = NULL;
	int result = -1;

	if (!san) {
		err_memory(e, "names of a request");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		if (san_add(san, names[i], e) < 0)
			goto out;
	}
	if (X509V3_add1_i2d(&extensions, NID_subject_alt_name, san, 0, X509V3_ADD_DEFAULT) != 1 ||
	    X509_REQ_add_extensions(req, extensions) != 1)
		err_openssl(e, ERR_INTERNAL, "cannot add names to a request");
	else
		result = 0;
out:
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	GENERAL_NAMES_free(san);
	return result;
}

static int append_der(struct buf *out, X509_REQ *req, struct err *e)
{
	unsigned char *der = NULL;
	int len = i2d_X509_REQ(req, &der);
	int result;

	if (len <= 0)
		return err_openssl(e, ERR_INTERNAL, "cannot encode a request");
	result = buf_add(out, der, (size_t)len, e);
	OPENSSL_free(der);
	return result;
}

int csr_make(struct buf *out, EVP_PKEY *key, const struct str *names, size_t n, struct err *e)
{
	X509_REQ *req;
	int result = -1;

	if (n == 0)
		return err_set(e, ERR_INVALID, "a request needs at least one name");
	req = X509_REQ_new();
	if (!req)
		return err_memory(e, "certificate request");
	if (X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 ||
	    X509_REQ_set_pubkey(req, key) != 1) {
		err_openssl(e, ERR_INTERNAL, "cannot make a request");
		goto out;
	}
	if (add_names(req, names, n, e) < 0)
		goto out;
	if (X509_REQ_sign(req, key, EVP_sha256()) <= 0) {
		err_openssl(e, ERR_INTERNAL, "cannot sign a request");
		goto out;
	}
	result = append_der(out, req, e);
out:
	X509_REQ_free(req);
	return result;
}
