/* The command line of cardea-dp. */
#include <stdio.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "common/conf/manual.h"
#include "common/conf/start.h"
#include "common/net/tls.h"
#include "data-plane/config.h"

enum { EXIT_CONFIG = 2 };

static void usage(FILE *out)
{
	fputs("usage: cardea-dp [-c FILE] [-t] [-V] [-h]\n"
	      "  -c FILE  configuration (key = value lines; CARDEA_<KEY> in the environment wins)\n"
	      "  -t       check the configuration, print it and exit\n"
	      "  -V       print the version\n"
	      "  -h       this help\n\n"
	      "signals: TERM, INT, QUIT finish what runs within drain_timeout and stop; HUP reads\n"
	      "log_level again\n\nkeys:\n",
	      out);
	conf_usage(dp_config_keys, dp_config_key_count, out);
}

static int read_options(int argc, char **argv, const char **file, bool *test)
{
	int option;

	while ((option = getopt(argc, argv, "c:tVhM")) != -1) {
		if (option == 'c') {
			*file = optarg;
		} else if (option == 't') {
			*test = true;
		} else if (option == 'V') {
			printf("cardea-dp %s\n", CARDEA_VERSION);
			return 0;
		} else if (option == 'M') {
			manual_keys(stdout, dp_config_keys, dp_config_key_count);
			return 0;
		} else {
			usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : EXIT_CONFIG;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return EXIT_CONFIG;
	}
	return -1;
}

/* The default certificate is the only PEM that a data plane reads. */
static int check_default_certificate(const struct dp_config *c, struct err *e)
{
	const struct tls_options o = {
		.server = true, .cert_file = c->ssl_cert, .key_file = c->ssl_cert_key};
	SSL_CTX *ctx;

	if (!c->ssl_cert)
		return 0;
	if (tls_context(&ctx, &o, e) != 0)
		return err_prefix(e, "ssl_cert");
	SSL_CTX_free(ctx);
	return 0;
}

static int check_config(const void *config, struct err *e)
{
	return dp_config_check(config, e) != 0 ? -1 : check_default_certificate(config, e);
}

int dp_options(int argc, char **argv, struct dp_config *config, const char **file)
{
	struct conf_start s = {"cardea-dp", dp_config_keys, dp_config_key_count, check_config,
			       false};
	int rc;

	*file = NULL;
	rc = read_options(argc, argv, file, &s.test);
	return rc >= 0 ? rc : conf_start(&s, config, *file);
}
