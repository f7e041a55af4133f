#include "control-plane/acme/chain.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/pki/cert.h"
#include "common/pki/pem.h"

enum { ROOTS_FILE_MAX = PEM_TEXT_MAX };

struct chain_roots {
	STACK_OF(X509) * certs;
};

void chain_roots_free(struct chain_roots *r)
{
	if (!r)
		return;
	sk_X509_pop_free(r->certs, X509_free);
	free(r);
}

static int read_file(struct buf *out, const char *file, struct err *e)
{
	FILE *f = fopen(file, "re");
	char part[4096];
	size_t n;
	int rc = 0;

	if (!f)
		return err_set(e, ERR_INVALID, "cannot read %s", file);
	buf_init(out, ROOTS_FILE_MAX);
	while (rc == 0 && (n = fread(part, 1, sizeof(part), f)) > 0)
		rc = buf_add(out, part, n, e);
	if (rc == 0 && ferror(f))
		rc = err_set(e, ERR_INVALID, "cannot read %s", file);
	(void)fclose(f);
	return rc;
}

/* Every certificate of a PEM text, for sk_X509_pop_free. */
static int read_all(STACK_OF(X509) * *out, struct str pem, struct err *e)
{
	struct pem_blocks blocks;
	STACK_OF(X509) * certs;
	int rc = 0;

	if (pem_parse(&blocks, pem, e) != 0)
		return -1;
	certs = sk_X509_new_null();
	for (size_t i = 0; rc == 0 && i < blocks.count; i++) {
		X509 *one = NULL;

		if (!str_eq(str_from(blocks.items[i].label), STR("CERTIFICATE")))
			continue;
		rc = cert_from_der(&one, buf_str(&blocks.items[i].der), e);
		if (rc == 0 && (!certs || sk_X509_push(certs, one) <= 0)) {
			X509_free(one);
			rc = err_memory(e, "certificates");
		}
	}
	pem_free(&blocks);
	if (rc == 0 && (!certs || sk_X509_num(certs) == 0))
		rc = err_set(e, ERR_INVALID, "there is no certificate in it");
	if (rc == 0)
		*out = certs;
	else
		sk_X509_pop_free(certs, X509_free);
	return rc;
}

int chain_roots_load(struct chain_roots **out, const char *file, struct err *e)
{
	struct chain_roots *r = calloc(1, sizeof(*r));
	struct buf text = BUF_INIT;
	int rc = r ? read_file(&text, file, e) : err_memory(e, "roots");

	if (rc == 0 && read_all(&r->certs, buf_str(&text), e) != 0)
		rc = err_prefix(e, "%s", file);
	buf_deinit(&text);
	if (rc == 0)
		*out = r;
	else
		chain_roots_free(r);
	return rc;
}

static bool is_anchored(X509 *last, const struct chain_roots *r)
{
	for (int i = 0; r && i < sk_X509_num(r->certs); i++) {
		X509 *root = sk_X509_value(r->certs, i);

		if (X509_cmp(root, last) == 0)
			return true;
		if (X509_NAME_cmp(X509_get_issuer_name(last), X509_get_subject_name(root)) == 0 &&
		    X509_verify(last, X509_get0_pubkey(root)) == 1)
			return true;
	}
	return false;
}

int chain_read(struct chain_facts *out, struct str pem, const struct chain_roots *roots,
	       struct err *e)
{
	STACK_OF(X509) *certs = NULL;
	X509 *last;

	if (read_all(&certs, pem, e) != 0)
		return -1;
	memset(out, 0, sizeof(*out));
	out->length = (size_t)sk_X509_num(certs);
	last = sk_X509_value(certs, sk_X509_num(certs) - 1);
	if (X509_NAME_get_text_by_NID(X509_get_issuer_name(last), NID_commonName, out->issuer,
				      sizeof(out->issuer)) < 0)
		out->issuer[0] = '\0';
	out->anchored = is_anchored(last, roots);
	sk_X509_pop_free(certs, X509_free);
	return 0;
}

static bool has_issuer(const struct chain_facts *f, const struct chain_wish *w)
{
	return w->issuer && w->issuer[0] && str_eq(str_from(f->issuer), str_from(w->issuer));
}

bool chain_better(const struct chain_facts *next, const struct chain_facts *best,
		  const struct chain_wish *w)
{
	if (has_issuer(next, w) != has_issuer(best, w))
		return has_issuer(next, w);
	if (!w->anchored)
		return false;
	if (next->anchored != best->anchored)
		return next->anchored;
	return next->anchored && next->length < best->length;
}

bool chain_suffices(const struct chain_facts *f, const struct chain_wish *w)
{
	/* Whether another one is shorter is only known when it was seen. */
	if (w->anchored)
		return false;
	return !w->issuer || !w->issuer[0] || has_issuer(f, w);
}
