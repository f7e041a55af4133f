/* The engine's own copy of its configuration. */
#include <openssl/crypto.h>
#include <stdlib.h>

#include "control-plane/acme/engine.h"

/* Those that are NULL or empty are NULL afterwards. */
static const char **optional_texts(struct acme_conf *c, size_t i)
{
	const char **const texts[] = {
		&c->profile,
		&c->preferred_chain,
		&c->chain_roots,
		&c->ca_file,
		&c->webhook_url,
		&c->webhook_secret,
		&c->webhook_ca_file,
		&c->dns01.key_name,
		&c->dns01.key_file,
		&c->dns01.zone,
		&c->dns01.webhook,
		&c->dns01.webhook_secret,
		&c->dns01.webhook_ca_file,
		&c->storage_ca_file,
	};

	return i < array_len(texts) ? texts[i] : NULL;
}

/* All of them are the engine's afterwards, also when one is missing. */
static int copy_texts(struct acme_conf *c, struct err *e)
{
	const char **text;
	bool complete = true;

	for (size_t i = 0; (text = optional_texts(c, i)); i++) {
		const char *given = *text;

		*text = given && given[0] ? str_dup(str_from(given)) : NULL;
		complete = complete && (!given || !given[0] || *text);
	}
	return complete ? 0 : err_memory(e, "ACME engine");
}

int acme_conf_copy(struct acme_conf *out, const struct acme_conf *c, struct err *e)
{
	int rc;

	*out = *c;
	rc = copy_texts(out, e);
	if (out->challenge_count == 0)
		out->challenges[out->challenge_count++] = CHALLENGE_HTTP_01;
	out->control_plane_id = str_dup(str_from(c->control_plane_id));
	out->egress = str_dup(c->egress ? str_from(c->egress) : STR(""));
	out->authority = NULL;
	if (!out->control_plane_id || !out->egress)
		return err_memory(e, "ACME engine");
	return rc;
}

static void cleanse(const char *secret)
{
	if (secret)
		OPENSSL_cleanse((void *)(uintptr_t)secret, strlen(secret));
}

static void free_texts(struct acme_conf *c)
{
	const char **text;

	for (size_t i = 0; (text = optional_texts(c, i)); i++)
		free((void *)(uintptr_t)*text);
}

void acme_conf_free(struct acme_conf *c)
{
	free((void *)(uintptr_t)c->control_plane_id);
	free((void *)(uintptr_t)c->egress);
	cleanse(c->webhook_secret);
	cleanse(c->dns01.webhook_secret);
	free_texts(c);
}
