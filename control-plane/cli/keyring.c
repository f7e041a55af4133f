#include <openssl/rand.h>
#include <stdio.h>

#include "common/core/codec.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/files.h"

enum { KEY_SIZE = 32 };

/* The id after that of the last line; 1 for an empty file. */
static int next_id(struct str text, uint64_t *id, struct err *e)
{
	struct str line;

	*id = 1;
	while (str_split(&text, '\n', &line)) {
		if (line.len == 0)
			continue;
		if (str_u64(str_sub(line, 0, str_find(line, ' ', 0)), id) < 0)
			return err_set(e, ERR_INVALID, "not a keyring: a line has no number first");
		(*id)++;
	}
	return 0;
}

static int add_key(struct buf *text, struct err *e)
{
	unsigned char key[KEY_SIZE];
	uint64_t id;
	int rc;

	if (next_id(buf_str(text), &id, e) < 0)
		return -1;
	if (RAND_bytes(key, sizeof(key)) != 1)
		return err_openssl(e, ERR_INTERNAL, "no random bytes");
	rc = buf_addf(text, e, "%llu ", (unsigned long long)id);
	if (rc == 0)
		rc = hex_encode(text, (struct str){(const char *)key, sizeof(key)}, e);
	OPENSSL_cleanse(key, sizeof(key));
	return rc < 0 ? rc : buf_add_str(text, STR("\n"), e);
}

int command_keyring(struct cli *c, int argc, char **argv, struct err *e)
{
	struct buf text = {.secret = true};
	int rc = 0;

	(void)c;
	(void)argc;
	if (file_exists(argv[1]))
		rc = file_read(argv[1], &text, e);
	if (rc == 0)
		rc = add_key(&text, e);
	if (rc == 0)
		rc = file_write(argv[1], buf_str(&text), 0600, e);
	buf_deinit(&text);
	return rc;
}
