#include "control-plane/acme/lane.h"

#include "common/core/compiler.h"

struct lane_row {
	const char *name;
	unsigned percent; /* of all that may be at work */
};

static const struct lane_row lanes[LANES] = {
	[LANE_EMERGENCY] = {"emergency", 90},
	[LANE_RENEWAL] = {"renewal", 80},
	[LANE_FIRST] = {"first", 70},
	[LANE_RETRY] = {"retry", 20},
};

const char *lane_name(enum lane l)
{
	return (unsigned)l < LANES ? lanes[l].name : "?";
}

void lane_room(const unsigned used[LANES], unsigned max, unsigned room[LANES])
{
	unsigned total = 0;

	for (unsigned l = 0; l < LANES; l++)
		total += used[l];
	for (unsigned l = 0; l < LANES; l++) {
		unsigned most = (unsigned)(((unsigned long long)max * lanes[l].percent + 99) / 100);

		room[l] = used[l] < most && total < max ? most - used[l] : 0;
		if (total < max && room[l] > max - total)
			room[l] = max - total;
	}
}
