#include "control-plane/acme/revocation_reason.h"

/* 7 is not used. Let's Encrypt takes 0, 1, 4 and 5, others 3 as well: what one does not take, it
 * says (badRevocationReason). A revoked certificate that is still needed is replaced; one whose key
 * is known to others before everything else. */
static const struct revocation_reason reasons[] = {
	{0, "unspecified", NULL, true, LANE_RENEWAL},
	{1, "keyCompromise", NULL, true, LANE_EMERGENCY},
	{2, "cACompromise", "it is about an authority's own key", false, LANE_RENEWAL},
	{3, "affiliationChanged", NULL, true, LANE_RENEWAL},
	{4, "superseded", NULL, true, LANE_RENEWAL},
	{5, "cessationOfOperation", NULL, false, LANE_RENEWAL},
	{6, "certificateHold", "authorities of the web do not suspend certificates", false,
	 LANE_RENEWAL},
	{8, "removeFromCRL", "it ends a certificateHold", false, LANE_RENEWAL},
	{9, "privilegeWithdrawn", "the authority gives it when it finds a wrong request", false,
	 LANE_RENEWAL},
	{10, "aACompromise", "it is about attribute authorities", false, LANE_RENEWAL},
};

static const struct revocation_reason *find(struct str text)
{
	uint64_t code = UINT64_MAX;
	bool number = str_u64(text, &code) == 0;

	for (size_t i = 0; i < array_len(reasons); i++)
		if (number ? (uint64_t)reasons[i].code == code
			   : str_ieq(text, str_from(reasons[i].name)))
			return &reasons[i];
	return NULL;
}

int revocation_reason_parse(struct str text, const struct revocation_reason **out, struct err *e)
{
	const struct revocation_reason *r = find(text);

	if (r && !r->refused) {
		*out = r;
		return 0;
	}
	return err_set(e, ERR_INVALID,
		       "reason %.*s cannot be given%s%s; one of: unspecified (0), keyCompromise "
		       "(1), affiliationChanged (3), superseded (4), cessationOfOperation (5)",
		       (int)(text.len > 64 ? 64 : text.len), text.ptr ? text.ptr : "",
		       r ? ": " : "", r ? r->refused : "");
}
