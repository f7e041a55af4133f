#include "common/core/sm.h"

#include <stdlib.h>

#include "common/core/log.h"

void sm_tell(const struct sm *sm, unsigned from, unsigned to, const char *id)
{
	if (!sm_allows(sm, from, to)) {
		log_crit("forbidden state move", log_str("machine", sm->name),
			 log_str("from", sm_name(sm, from)), log_str("to", sm_name(sm, to)),
			 log_str("id", id));
		abort();
	}
	log_debug("move", log_str("machine", sm->name), log_str("from", sm->states[from].name),
		  log_str("to", sm->states[to].name), log_str("id", id));
}

const char *sm_name(const struct sm *sm, unsigned state)
{
	return state < sm->count ? sm->states[state].name : "?";
}
