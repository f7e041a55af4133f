/* cardea-dp: the command line, then the daemon. */
#include <sys/prctl.h>

#include "common/core/log.h"
#include "data-plane/config.h"
#include "data-plane/daemon.h"

int main(int argc, char **argv)
{
	struct dp_config config = {0};
	const char *file;
	int rc = dp_options(argc, argv, &config, &file);

	if (rc >= 0)
		return rc;
	prctl(PR_SET_DUMPABLE, 0); /* keys are in memory: no core dumps, no ptrace */
	log_setup("cardea-dp", (enum log_level)config.log_level,
		  (enum log_format)config.log_format);
	rc = daemon_run(&config, file);
	conf_free(dp_config_keys, dp_config_key_count, &config);
	return rc;
}
