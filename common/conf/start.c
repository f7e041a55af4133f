#include "common/conf/start.h"

enum { EXIT_CONFIG = 2 };

int conf_start(const struct conf_start *s, void *config, const char *file)
{
	struct err e = ERR_INIT;
	int rc = 0;

	if (conf_load(s->keys, s->count, config, file, &e) != 0) {
		fprintf(stderr, "%s: %s\n", s->program, e.message);
		return EXIT_CONFIG;
	}
	if (s->check(config, &e) != 0) {
		fprintf(stderr, "%s: %s\n", s->program, e.message);
		rc = EXIT_CONFIG;
	} else if (s->test) {
		conf_print(s->keys, s->count, config, stdout);
	} else {
		return -1;
	}
	conf_free(s->keys, s->count, config);
	return rc;
}

void conf_usage(const struct conf_key *keys, size_t n, FILE *out)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  %-22s %s%s%s%s\n", keys[i].name, keys[i].help,
			keys[i].fallback ? " (" : "", keys[i].fallback ? keys[i].fallback : "",
			keys[i].fallback ? ")" : "");
}
