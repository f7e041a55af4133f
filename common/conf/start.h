/* What a daemon does with its configuration before it starts. Thread: main. */
#ifndef CARDEA_CONF_START_H
#define CARDEA_CONF_START_H

#include "common/conf/conf.h"

struct conf_start {
	const char *program; /* before messages */
	const struct conf_key *keys;
	size_t count;
	/* What no single key can say. Opens nothing for good. */
	int (*check)(const void *config, struct err *e);
	bool test; /* print it instead of starting */
};

/* Fills *config (zeroed) and checks it. Returns -1 to go on; else the exit code and *config is
 * freed: 0 after a test, 2 after a message on stderr about what is wrong. */
int conf_start(const struct conf_start *s, void *config, const char *file);
/* The keys with their defaults, for -h. */
void conf_usage(const struct conf_key *keys, size_t n, FILE *out);

#endif
