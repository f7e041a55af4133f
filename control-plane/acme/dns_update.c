/* Happy path: the update -> signed -> TCP -> the answer's code, and its signature.
 * Failure paths: a code other than NOERROR is told with what it means for the operator; NOERROR
 * counts only with the key's signature. */
#include "control-plane/acme/dns_update.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_FILE_MAX = 1024, KEY_MIN = 16, FUDGE_S = 300, TXT_STRING_MAX = 255 };
enum { TSIG_BAD_SIGNATURE = 16, TSIG_BAD_KEY = 17, TSIG_BAD_TIME = 18 };
#define ALGORITHM "hmac-sha256."

/* --- the key --- */

static int read_file(struct buf *out, const char *file, struct err *e)
{
	FILE *f = fopen(file, "re");
	int rc;

	if (!f)
		return err_errno(e, ERR_INVALID, errno, "%s", file);
	setbuf(f, NULL);
	rc = buf_reserve(out, KEY_FILE_MAX + 1, e);
	if (rc == 0) {
		out->len = fread(out->data, 1, KEY_FILE_MAX + 1, f);
		if (ferror(f))
			rc = err_errno(e, ERR_INVALID, errno, "%s", file);
		else if (out->len > KEY_FILE_MAX)
			rc = err_set(e, ERR_INVALID, "%s: longer than %d bytes", file,
				     KEY_FILE_MAX);
	}
	fclose(f);
	return rc;
}

/* 0: it is not base64. */
static size_t decoded_size(const char *text)
{
	ldns_rdf *raw = NULL;
	size_t n = 0;

	if (ldns_str2rdf_b64(&raw, text) == LDNS_STATUS_OK && raw) {
		n = ldns_rdf_size(raw);
		OPENSSL_cleanse(ldns_rdf_data(raw), n);
	}
	ldns_rdf_deep_free(raw);
	return n;
}

static int read_key(struct buf *out, const char *file, struct err *e)
{
	struct str text;

	if (read_file(out, file, e) != 0)
		return -1;
	text = buf_str(out);
	while (text.len > 0 && strchr("\r\n\t ", text.ptr[text.len - 1]))
		text.len--;
	if (buf_reserve(out, 1, e) != 0)
		return -1;
	out->data[text.len] = '\0';
	out->len = text.len;
	if (decoded_size(out->data) < KEY_MIN)
		return err_set(e, ERR_INVALID,
			       "%s: expected a secret of %d bytes or more in base64, and nothing "
			       "else",
			       file, KEY_MIN);
	return 0;
}

int dns_update_key_check(const char *file, struct err *e)
{
	struct buf key = {.secret = true};
	int rc = read_key(&key, file, e);

	buf_deinit(&key);
	return rc;
}

/* --- the message --- */

static ldns_rr *make_record(const struct dns_change *c)
{
	size_t len = strlen(c->value);
	uint8_t data[TXT_STRING_MAX + 1];
	ldns_rdf *name = ldns_dname_new_frm_str(c->name), *text = NULL;
	ldns_rr *rr = NULL;

	if (name && len <= TXT_STRING_MAX) {
		data[0] = (uint8_t)len;
		memcpy(data + 1, c->value, len);
		text = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, len + 1, data);
		rr = text ? ldns_rr_new() : NULL;
	}
	if (!rr || !ldns_rr_push_rdf(rr, text)) {
		ldns_rr_free(rr);
		ldns_rdf_deep_free(text);
		ldns_rdf_deep_free(name);
		return NULL;
	}
	ldns_rr_set_owner(rr, name);
	ldns_rr_set_type(rr, LDNS_RR_TYPE_TXT);
	/* Section 2.5.4: one record is removed by its data, with class NONE. */
	ldns_rr_set_class(rr, c->add ? LDNS_RR_CLASS_IN : LDNS_RR_CLASS_NONE);
	ldns_rr_set_ttl(rr, c->add ? DNS_RECORD_TTL_S : 0);
	return rr;
}

static ldns_pkt *make_update(const struct dns_change *c, struct err *e)
{
	ldns_rdf *zone = ldns_dname_new_frm_str(c->zone);
	ldns_rr_list *records = ldns_rr_list_new();
	ldns_rr *rr = make_record(c);
	ldns_pkt *p = NULL;

	if (zone && records && rr && ldns_rr_list_push_rr(records, rr)) {
		rr = NULL;
		p = ldns_update_pkt_new(zone, LDNS_RR_CLASS_IN, NULL, records, NULL);
	}
	if (p)
		ldns_pkt_set_random_id(p);
	else
		ldns_rdf_deep_free(zone);
	ldns_rr_free(rr);
	ldns_rr_list_deep_free(records);
	if (!p)
		err_set(e, ERR_INVALID, "no update can be made for %.200s in %.200s", c->name,
			c->zone);
	return p;
}

/* --- the exchange --- */

static int exchange(const struct dns_update_conf *c, const ldns_pkt *update, uint8_t **answer,
		    size_t *size, struct err *e)
{
	const struct timeval timeout = {.tv_sec = (time_t)(c->timeout_ms / 1000),
					.tv_usec = (suseconds_t)(c->timeout_ms % 1000) * 1000};
	ldns_buffer *out = ldns_buffer_new(LDNS_MIN_BUFLEN);
	struct sockaddr_storage to;
	char at[ADDR_TEXT_SIZE];
	ldns_status s = out ? ldns_pkt2buffer_wire(out, update) : LDNS_STATUS_MEM_ERR;

	memset(&to, 0, sizeof(to));
	memcpy(&to, &c->server.u, sizeof(c->server.u));
	if (s == LDNS_STATUS_OK)
		s = ldns_tcp_send(answer, out, &to,
				  c->server.u.sa.sa_family == AF_INET ? sizeof(c->server.u.in4)
								      : sizeof(c->server.u.in6),
				  timeout, size);
	ldns_buffer_free(out);
	if (s == LDNS_STATUS_OK)
		return 0;
	addr_text(&c->server, at, sizeof(at));
	return err_set(e, ERR_UNAVAILABLE, "the DNS server %s does not answer in time (%s)", at,
		       ldns_get_errorstr_by_id(s));
}

/* --- the answer --- */

static const struct {
	ldns_pkt_rcode rcode;
	const char *name, *help;
} refusals[] = {
	{LDNS_RCODE_FORMERR, "FORMERR", "it does not take dynamic updates (RFC 2136)"},
	{LDNS_RCODE_SERVFAIL, "SERVFAIL", "look at the server's log"},
	{LDNS_RCODE_NOTIMPL, "NOTIMP", "it does not take dynamic updates (RFC 2136)"},
	{LDNS_RCODE_REFUSED, "REFUSED",
	 "allow updates of the zone with this key there, also for this record"},
	{LDNS_RCODE_NOTAUTH, "NOTAUTH",
	 "it has no such zone as a primary, or does not know the key: look at acme_dns_update_zone "
	 "and acme_dns_update_key_name"},
	{LDNS_RCODE_NOTZONE, "NOTZONE", "the name is not in the zone: see acme_dns_update_zone"},
};

/* The error of the answer's TSIG record (RFC 8945 section 4.2); 0: none. */
static unsigned tsig_error(const ldns_pkt *p)
{
	const ldns_rr *tsig = ldns_pkt_tsig(p);

	return tsig && ldns_rr_rd_count(tsig) > 5 ? ldns_rdf2native_int16(ldns_rr_rdf(tsig, 5)) : 0;
}

static int refused(const ldns_pkt *p, struct err *e)
{
	ldns_pkt_rcode rcode = ldns_pkt_get_rcode(p);
	unsigned tsig = tsig_error(p);

	if (tsig == TSIG_BAD_SIGNATURE)
		return err_set(e, ERR_INVALID,
			       "the DNS server says BADSIG: the secret in acme_dns_update_key_file "
			       "is not that of the key");
	if (tsig == TSIG_BAD_KEY)
		return err_set(e, ERR_INVALID,
			       "the DNS server says BADKEY: it does not know "
			       "acme_dns_update_key_name with HMAC-SHA256, or does not let it "
			       "change this zone");
	if (tsig == TSIG_BAD_TIME)
		return err_set(e, ERR_INVALID,
			       "the DNS server says BADTIME: its clock or that of this control "
			       "plane is wrong");
	for (size_t i = 0; i < array_len(refusals); i++)
		if (refusals[i].rcode == rcode)
			return err_set(e, ERR_INVALID, "the DNS server says %s: %s",
				       refusals[i].name, refusals[i].help);
	return err_set(e, ERR_INVALID, "the DNS server refuses the update (code %u)",
		       (unsigned)rcode);
}

static int judge(const struct dns_update_conf *c, const char *secret, const ldns_pkt *update,
		 uint8_t *bytes, size_t size, struct err *e)
{
	ldns_pkt *p = NULL;
	const ldns_rr *tsig = ldns_pkt_tsig(update);
	int rc = 0;

	if (ldns_wire2pkt(&p, bytes, size) != LDNS_STATUS_OK ||
	    ldns_pkt_id(p) != ldns_pkt_id(update) || !ldns_pkt_qr(p))
		rc = err_set(e, ERR_UNAVAILABLE, "the DNS server's answer is broken");
	else if (ldns_pkt_get_rcode(p) != LDNS_RCODE_NOERROR)
		rc = refused(p, e);
	else if (tsig && (!ldns_pkt_tsig(p) || !ldns_pkt_tsig_verify(p, bytes, size, c->key_name,
								     secret, ldns_rr_rdf(tsig, 3))))
		rc = err_set(e, ERR_UNAVAILABLE,
			     "the DNS server's answer is not signed with the key: it cannot be "
			     "trusted");
	ldns_pkt_free(p);
	return rc;
}

int dns_update_send(const struct dns_update_conf *c, const struct dns_change *change, struct err *e)
{
	struct buf key = {.secret = true};
	ldns_pkt *p = make_update(change, e);
	uint8_t *bytes = NULL;
	size_t size = 0;
	int rc = p ? 0 : -1;

	if (rc == 0 && c->key_name) {
		rc = read_key(&key, c->key_file, e);
		if (rc == 0 && ldns_pkt_tsig_sign(p, c->key_name, key.data, FUDGE_S, ALGORITHM,
						  NULL) != LDNS_STATUS_OK)
			rc = err_set(e, ERR_INVALID,
				     "the update cannot be signed: look at "
				     "acme_dns_update_key_name and its file");
	}
	if (rc == 0)
		rc = exchange(c, p, &bytes, &size, e);
	if (rc == 0)
		rc = judge(c, key.data, p, bytes, size, e);
	free(bytes);
	ldns_pkt_free(p);
	buf_deinit(&key);
	return rc;
}
