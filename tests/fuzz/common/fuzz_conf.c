/* Any bytes as a configuration file; what is accepted and shown can be loaded again. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/conf/conf.h"
#include "common/net/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
	char *name, *password;
	bool flag;
	int64_t number;
	uint64_t size, timeout;
	int choice;
	struct listen_list listen;
};

static const char *const choices[] = {"postgres", "off", NULL};

#define AT(field) offsetof(struct target, field)
static const struct conf_key keys[] = {
	{"name", CONF_STRING, AT(name), "x", 0, 0, NULL, ""},
	{"password", CONF_SECRET, AT(password), NULL, 0, 0, NULL, ""},
	{"flag", CONF_BOOL, AT(flag), "on", 0, 0, NULL, ""},
	{"number", CONF_INT, AT(number), "1", -5, 65535, NULL, ""},
	{"size", CONF_SIZE, AT(size), "8m", 1024, 1 << 30, NULL, ""},
	{"timeout", CONF_DURATION, AT(timeout), "60s", 0, 0, NULL, ""},
	{"choice", CONF_ENUM, AT(choice), "off", 0, 0, choices, ""},
	{"listen", CONF_LISTEN, AT(listen), "off", 0, 0, NULL, ""},
};

static int load(const void *data, size_t size, struct target *t)
{
	char path[64];
	int fd = memfd_create("conf", MFD_CLOEXEC);
	int result;
	struct err e = ERR_INIT;

	memset(t, 0, sizeof(*t));
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = conf_load(keys, array_len(keys), t, path, &e);
	if (result < 0 && e.message[0] == '\0')
		abort();
	close(fd);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target t, again;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (size > 65536 || load(data, size, &t) < 0)
		return 0;
	out = open_memstream(&text, &len);
	if (!out)
		abort();
	conf_print(keys, array_len(keys), &t, out);
	(void)fclose(out);
	if (load(text, len, &again) < 0 || again.number != t.number || again.size != t.size ||
	    again.timeout != t.timeout || again.choice != t.choice ||
	    again.listen.count != t.listen.count ||
	    strcmp(again.name ? again.name : "", t.name ? t.name : "") != 0)
		abort();
	conf_free(keys, array_len(keys), &t);
	conf_free(keys, array_len(keys), &again);
	free(text);
	return 0;
}
