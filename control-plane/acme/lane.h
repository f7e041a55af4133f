/* Lanes of orders by urgency, and how many of each may be at work: the more urgent first, and none
 * may take everything, so that names that keep failing never starve the others, nor a flood of
 * renewals the first certificate of somebody. Pure. Thread: any. */
#ifndef CARDEA_ACME_LANE_H
#define CARDEA_ACME_LANE_H

/* The numbers are stored (acme_orders.lane). */
enum lane {
	LANE_EMERGENCY, /* the certificate that is served expires soon */
	LANE_RENEWAL,
	LANE_FIRST, /* a name without a certificate */
	LANE_RETRY, /* its owner's fault so far */
	LANES,
};

/* As logs and the API call it. */
const char *lane_name(enum lane l);
/* room[l]: how many more orders of the lane may be taken when used[] are at work and max may be in
 * all. Their sum may be more than what is free: the more urgent go first then. */
void lane_room(const unsigned used[LANES], unsigned max, unsigned room[LANES]);

#endif
