#include "data-plane/sync/health_state.h"

#include "common/core/sm.h"

static const struct sm_state levels[HEALTH_LEVELS] = {
	[HEALTH_HEALTHY] = {"healthy", SM_TO(HEALTH_MOSTLY_HEALTHY) | SM_TO(HEALTH_UNHEALTHY)},
	[HEALTH_MOSTLY_HEALTHY] = {"mostly healthy",
				   SM_TO(HEALTH_HEALTHY) | SM_TO(HEALTH_UNHEALTHY)},
	[HEALTH_UNHEALTHY] = {"unhealthy", SM_TO(HEALTH_MOSTLY_UNHEALTHY) | SM_TO(HEALTH_HEALTHY)},
	[HEALTH_MOSTLY_UNHEALTHY] = {"mostly unhealthy",
				     SM_TO(HEALTH_UNHEALTHY) | SM_TO(HEALTH_HEALTHY)},
};
static const struct sm machine = {"health", levels, HEALTH_LEVELS};

static void level_move(struct health_state *s, enum health_level to)
{
	if (s->level != to)
		s->level = (enum health_level)sm_move(&machine, s->level, to, NULL);
}

bool health_state_is_down(const struct health_state *s)
{
	return s->level == HEALTH_UNHEALTHY || s->level == HEALTH_MOSTLY_UNHEALTHY;
}

bool health_state_is_watched(const struct health_state *s)
{
	return s->level != HEALTH_HEALTHY;
}

static void clear_failures(struct health_state *s)
{
	for (unsigned c = HEALTH_COUNT_TCP; c < HEALTH_COUNTERS; c++)
		s->counters[c] = 0;
}

bool health_state_count(struct health_state *s, enum health_counter c, unsigned limit)
{
	bool success = c == HEALTH_COUNT_SUCCESS;
	enum health_level before = s->level;

	/* What is fully so cannot become more so. */
	if (limit == 0 || before == (success ? HEALTH_HEALTHY : HEALTH_UNHEALTHY))
		return false;
	s->counters[c]++;
	if (success)
		clear_failures(s);
	else
		s->counters[HEALTH_COUNT_SUCCESS] = 0;
	if (s->counters[c] >= limit) {
		level_move(s, success ? HEALTH_HEALTHY : HEALTH_UNHEALTHY);
		s->counters[c] = 0;
	} else if (!success && before == HEALTH_HEALTHY) {
		level_move(s, HEALTH_MOSTLY_HEALTHY);
	} else if (success && before == HEALTH_UNHEALTHY) {
		level_move(s, HEALTH_MOSTLY_UNHEALTHY);
	} else if (!success && before == HEALTH_MOSTLY_UNHEALTHY) {
		/* The successes are gone. */
		level_move(s, HEALTH_UNHEALTHY);
	} else if (success && before == HEALTH_MOSTLY_HEALTHY) {
		/* The failures are. */
		level_move(s, HEALTH_HEALTHY);
	}
	return s->level != before;
}
