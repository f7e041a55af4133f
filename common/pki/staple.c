#include "common/pki/staple.h"

#include <openssl/err.h>

#include "common/core/clock.h"
#include "common/pki/cert.h"
#include "common/pki/ocsp.h"

/* The caller frees it. NULL: none, e says why, and with an answer that is a refusal, *refused is
 * its code. */
static OCSP_BASICRESP *parse(struct str der, int *refused, struct err *e)
{
	const unsigned char *at = (const unsigned char *)der.ptr;
	OCSP_RESPONSE *response = NULL;
	OCSP_BASICRESP *basic = NULL;
	int status = OCSP_RESPONSE_STATUS_SUCCESSFUL;

	*refused = 0;
	if (der.len == 0 || der.len > STAPLE_MAX) {
		err_set(e, ERR_INVALID, "%zu bytes: 1 to %d are allowed", der.len, STAPLE_MAX);
		return NULL;
	}
	response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
	if (response)
		status = OCSP_response_status(response);
	if (!response || at != (const unsigned char *)der.ptr + der.len)
		err_set(e, ERR_INVALID, "not the DER of an OCSP response");
	else if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		err_set(e, ERR_INVALID, "the responder answered: %s",
			OCSP_response_status_str(status));
	else
		basic = OCSP_response_get1_basic(response);
	if (basic && OCSP_resp_count(basic) != 1) {
		err_set(e, ERR_INVALID, "about %d certificates: must be about one",
			OCSP_resp_count(basic));
		OCSP_BASICRESP_free(basic);
		basic = NULL;
	} else if (!basic && response && status == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
		err_set(e, ERR_INVALID, "not a basic OCSP response");
	}
	*refused = status;
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	return basic;
}

/* The one answer in it. */
static int read_single(OCSP_BASICRESP *basic, int *status, int64_t *from, int64_t *until,
		       struct err *e)
{
	ASN1_GENERALIZEDTIME *begin = NULL, *end = NULL;

	*status = OCSP_single_get0_status(OCSP_resp_get0(basic, 0), NULL, NULL, &begin, &end);
	if (cert_time(begin, from) != 0 || cert_time(end, until) != 0)
		return err_set(e, ERR_INVALID, "it does not say when it begins and ends");
	return 0;
}

int staple_span(struct str der, int64_t *from, int64_t *until, struct err *e)
{
	int refused;
	OCSP_BASICRESP *basic = parse(der, &refused, e);
	int status, rc = basic ? read_single(basic, &status, from, until, e) : -1;

	OCSP_BASICRESP_free(basic);
	return rc;
}

/* Without the issuer the serial number is all that can be compared. */
static bool is_about(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer)
{
	const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(OCSP_resp_get0(basic, 0));
	/* OpenSSL's getters take no const. */
	OCSP_CERTID *own = (OCSP_CERTID *)(uintptr_t)id, *wanted = NULL;
	ASN1_OBJECT *md = NULL;
	ASN1_INTEGER *serial = NULL;
	bool same;

	OCSP_id_get0_info(NULL, &md, NULL, &serial, own);
	if (!issuer)
		return ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) == 0;
	wanted = OCSP_cert_to_id(EVP_get_digestbyobj(md), leaf, issuer);
	same = wanted && OCSP_id_cmp(wanted, own) == 0;
	OCSP_CERTID_free(wanted);
	return same;
}

static int check(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer, struct err *e)
{
	int64_t from, until;
	int status;

	if (read_single(basic, &status, &from, &until, e) != 0)
		return -1;
	if (status != V_OCSP_CERTSTATUS_GOOD)
		return err_set(e, ERR_INVALID, "it says \"%s\" of the certificate",
			       OCSP_cert_status_str(status));
	if (!is_about(basic, leaf, issuer))
		return err_set(e, ERR_INVALID, "it is about another certificate");
	if (issuer && !ocsp_is_signed(basic, issuer, from))
		return err_openssl(e, ERR_INVALID, "its signature is not the issuer's");
	return 0;
}

int staple_check(struct str der, X509 *leaf, X509 *issuer, struct err *e)
{
	int refused;
	OCSP_BASICRESP *basic = parse(der, &refused, e);
	int rc = basic ? check(basic, leaf, issuer, e) : -1;

	OCSP_BASICRESP_free(basic);
	ERR_clear_error();
	return rc;
}

/* --- of responders --- */

static void read_status(OCSP_BASICRESP *basic, struct staple_answer *out)
{
	ASN1_GENERALIZEDTIME *revoked = NULL;
	int status = OCSP_single_get0_status(OCSP_resp_get0(basic, 0), &out->reason, &revoked, NULL,
					     NULL);

	out->status = status == V_OCSP_CERTSTATUS_GOOD	    ? STAPLE_GOOD
		      : status == V_OCSP_CERTSTATUS_REVOKED ? STAPLE_REVOKED
							    : STAPLE_UNKNOWN;
	if (out->status != STAPLE_REVOKED)
		out->reason = -1;
	if (cert_time(revoked, &out->revoked_at) != 0)
		out->revoked_at = 0;
}

static int read_answer(OCSP_BASICRESP *basic, X509 *leaf, X509 *issuer, struct staple_answer *out,
		       struct err *e)
{
	int64_t now = clock_wall_s();
	int status;

	if (read_single(basic, &status, &out->from, &out->until, e) != 0)
		return -1;
	if (!is_about(basic, leaf, issuer))
		return err_set(e, ERR_INVALID, "it is about another certificate");
	if (!ocsp_is_signed(basic, issuer, now))
		return err_openssl(e, ERR_INVALID, "its signature is not the issuer's");
	if (out->from > now + STAPLE_SKEW_S)
		return err_set(e, ERR_INVALID, "it begins in the future");
	if (out->until <= now || out->until <= out->from)
		return err_set(e, ERR_INVALID, "it has ended");
	read_status(basic, out);
	return 0;
}

int staple_read(struct str der, X509 *leaf, X509 *issuer, struct staple_answer *out, struct err *e)
{
	OCSP_BASICRESP *basic;
	int rc;

	*out = (struct staple_answer){.reason = -1};
	basic = parse(der, &out->refused, e);
	rc = basic ? read_answer(basic, leaf, issuer, out, e) : -1;
	OCSP_BASICRESP_free(basic);
	ERR_clear_error();
	return rc;
}
