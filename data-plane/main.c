/* cardea-dp: the command line, then the daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "common/core/log.h"
#include "common/pki/provider.h"
#include "data-plane/config.h"
#include "data-plane/daemon.h"

int main(int argc, char **argv)
{
	struct dp_config config = {0};
	struct daemon_start start = {.config = &config, .argv = argv};
	struct err e = ERR_INIT;
	int rc;

	if (handover_take(&start.handover, &e) != 0) {
		fprintf(stderr, "cardea-dp: %s\n", e.message);
		return EXIT_FAILURE;
	}
	rc = dp_options(argc, argv, &config, &start.config_file);
	if (rc >= 0)
		return rc;
	prctl(PR_SET_DUMPABLE, 0); /* keys are in memory: no core dumps, no ptrace */
	log_setup("cardea-dp", (enum log_level)config.log_level,
		  (enum log_format)config.log_format);
	if (provider_install(&e) != 0) {
		fprintf(stderr, "cardea-dp: %s\n", e.message);
		return EXIT_FAILURE;
	}
	rc = daemon_run(&start);
	conf_free(dp_config_keys, dp_config_key_count, &config);
	return rc;
}
