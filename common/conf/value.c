#include "common/conf/value.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "common/net/addr.h"

/* Per type: how text becomes the field's bytes, how they become text again, and how many there are.
 * Setters get the field and write it only on success. */
struct type {
	int (*set)(const struct conf_key *key, void *field, struct str text, struct err *e);
	int (*text)(const struct conf_key *key, const void *field, struct buf *out, struct err *e);
	size_t size;
};

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"g", 1ULL << 30}, {"m", 1ULL << 20}, {"k", 1ULL << 10}, {"", 1}};
static const struct unit duration_units[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

static int refuse(struct err *e, struct str text, const char *allowed)
{
	return err_set(e, ERR_INVALID, "\"%.*s\" is not allowed; expected %s",
		       (int)(text.len < 80 ? text.len : 80), text.ptr ? text.ptr : "", allowed);
}

static void free_string(const struct conf_key *key, char *text)
{
	if (text && key->type == CONF_SECRET)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

static int set_string(const struct conf_key *key, void *field, struct str text, struct err *e)
{
	char **slot = field;
	char *copy = NULL;

	if (text.len > 0) {
		copy = str_dup(text);
		if (!copy)
			return err_memory(e, "a configuration value");
	}
	free_string(key, *slot);
	*slot = copy;
	return 0;
}

static int string_text(const struct conf_key *key, const void *field, struct buf *out,
		       struct err *e)
{
	char *const *slot = field;

	(void)key;
	return buf_add_str(out, str_from(*slot ? *slot : ""), e);
}

static int secret_text(const struct conf_key *key, const void *field, struct buf *out,
		       struct err *e)
{
	char *const *slot = field;

	(void)key;
	return buf_add_str(out, str_from(*slot ? "******" : ""), e);
}

static int set_bool(const struct conf_key *key, void *field, struct str text, struct err *e)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"on", true},     {"off", false}, {"true", true},
		     {"false", false}, {"yes", true},  {"no", false}};

	(void)key;
	for (size_t i = 0; i < array_len(words); i++) {
		if (str_ieq(text, str_from(words[i].word))) {
			*(bool *)field = words[i].value;
			return 0;
		}
	}
	return refuse(e, text, "on or off");
}

static int bool_text(const struct conf_key *key, const void *field, struct buf *out, struct err *e)
{
	(void)key;
	return buf_add_str(out, *(const bool *)field ? STR("on") : STR("off"), e);
}

static bool ranged(const struct conf_key *key)
{
	return key->min != 0 || key->max != 0;
}

static int set_int(const struct conf_key *key, void *field, struct str text, struct err *e)
{
	bool negative = text.len > 0 && text.ptr[0] == '-';
	uint64_t magnitude;
	int64_t value;

	if (str_u64(str_sub(text, negative, text.len), &magnitude) < 0 || magnitude > INT64_MAX)
		return refuse(e, text, "a whole number");
	value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
	if (ranged(key) && (value < key->min || value > key->max))
		return err_set(e, ERR_INVALID,
			       "%" PRId64 " is out of range; expected %" PRId64 " to %" PRId64,
			       value, key->min, key->max);
	*(int64_t *)field = value;
	return 0;
}

static int int_text(const struct conf_key *key, const void *field, struct buf *out, struct err *e)
{
	(void)key;
	return buf_addf(out, e, "%" PRId64, *(const int64_t *)field);
}

/* "16m" to a number by the units' factors; no unit is worth `bare`. -1 for anything else. */
static int parse_scaled(struct str text, const struct unit *units, size_t n, uint64_t bare,
			uint64_t *out)
{
	size_t digits = 0;
	uint64_t number, factor = 0;
	struct str unit;

	while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
		digits++;
	unit = str_sub(text, digits, text.len);
	if (unit.len == 0)
		factor = bare;
	for (size_t i = 0; factor == 0 && i < n; i++)
		if (str_ieq(unit, str_from(units[i].name)))
			factor = units[i].factor;
	if (factor == 0 || str_u64(str_sub(text, 0, digits), &number) < 0 ||
	    number > INT64_MAX / factor)
		return -1;
	*out = number * factor;
	return 0;
}

/* In the largest unit that gives a whole number. */
static int scaled_text(uint64_t value, const struct unit *units, size_t n, struct buf *out,
		       struct err *e)
{
	size_t i = 0;

	while (i < n - 1 && (value == 0 || value % units[i].factor != 0))
		i++;
	return buf_addf(out, e, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
}

static int out_of_range(const struct conf_key *key, struct str text, const struct unit *units,
			size_t n, struct err *e)
{
	struct buf range = BUF_INIT;

	if (scaled_text((uint64_t)key->min, units, n, &range, NULL) == 0 &&
	    buf_add_str(&range, STR(" to "), NULL) == 0 &&
	    scaled_text((uint64_t)key->max, units, n, &range, NULL) == 0)
		err_set(e, ERR_INVALID, "\"%.*s\" is out of range; expected %s", (int)text.len,
			text.ptr, range.data);
	else
		err_memory(e, "a configuration value");
	buf_deinit(&range);
	return -1;
}

static bool in_range(const struct conf_key *key, uint64_t value)
{
	return !ranged(key) || (value >= (uint64_t)key->min && value <= (uint64_t)key->max);
}

static int set_size(const struct conf_key *key, void *field, struct str text, struct err *e)
{
	uint64_t value;

	if (parse_scaled(text, size_units, array_len(size_units), 1, &value) < 0)
		return refuse(e, text, "bytes such as 512, 8k, 16m or 1g");
	if (!in_range(key, value))
		return out_of_range(key, text, size_units, array_len(size_units), e);
	*(uint64_t *)field = value;
	return 0;
}

static int size_text(const struct conf_key *key, const void *field, struct buf *out, struct err *e)
{
	(void)key;
	return scaled_text(*(const uint64_t *)field, size_units, array_len(size_units), out, e);
}

static int set_duration(const struct conf_key *key, void *field, struct str text, struct err *e)
{
	uint64_t value;

	if (parse_scaled(text, duration_units, array_len(duration_units), 1000, &value) < 0)
		return refuse(e, text, "a duration such as 500ms, 10s, 5m, 12h or 1d");
	if (!in_range(key, value))
		return out_of_range(key, text, duration_units, array_len(duration_units), e);
	*(uint64_t *)field = value;
	return 0;
}

static int duration_text(const struct conf_key *key, const void *field, struct buf *out,
			 struct err *e)
{
	(void)key;
	return scaled_text(*(const uint64_t *)field, duration_units, array_len(duration_units), out,
			   e);
}

static int set_enum(const struct conf_key *key, void *field, struct str text, struct err *e)
{
	struct buf allowed = BUF_INIT;

	for (int i = 0; key->choices[i]; i++) {
		if (str_eq(text, str_from(key->choices[i]))) {
			*(int *)field = i;
			return 0;
		}
	}
	for (int i = 0; key->choices[i]; i++)
		if (buf_addf(&allowed, NULL, "%s%s", i > 0 ? ", " : "one of: ", key->choices[i]) <
		    0)
			break;
	refuse(e, text, allowed.data ? allowed.data : "one of its choices");
	buf_deinit(&allowed);
	return -1;
}

static int enum_text(const struct conf_key *key, const void *field, struct buf *out, struct err *e)
{
	return buf_add_str(out, str_from(key->choices[*(const int *)field]), e);
}

static int set_listen(const struct conf_key *key, void *field, struct str text, struct err *e)
{
	struct listen_list list = {.count = 0};

	(void)key;
	if (text.len > 0 && listen_parse(&list, text, e) < 0)
		return -1;
	*(struct listen_list *)field = list;
	return 0;
}

static int entry_text(const struct listen_entry *entry, struct buf *out, struct err *e)
{
	char addr[ADDR_TEXT_SIZE];

	addr_text(&entry->addr, addr, sizeof(addr));
	if (buf_addf(out, e, "%s%s%s%s%s", addr, entry->ssl ? " ssl" : "",
		     entry->http2 ? " http2" : "", entry->reuseport ? " reuseport" : "",
		     entry->proxy_protocol ? " proxy_protocol" : "") < 0)
		return -1;
	return entry->backlog ? buf_addf(out, e, " backlog=%u", entry->backlog) : 0;
}

static int listen_text(const struct conf_key *key, const void *field, struct buf *out,
		       struct err *e)
{
	const struct listen_list *list = field;

	(void)key;
	if (list->count == 0)
		return buf_add_str(out, STR("off"), e);
	for (size_t i = 0; i < list->count; i++)
		if ((i > 0 && buf_add_str(out, STR(", "), e) < 0) ||
		    entry_text(&list->entries[i], out, e) < 0)
			return -1;
	return 0;
}

static const struct type types[] = {
	[CONF_STRING] = {set_string, string_text, sizeof(char *)},
	[CONF_SECRET] = {set_string, secret_text, sizeof(char *)},
	[CONF_PATH] = {set_string, string_text, sizeof(char *)},
	[CONF_BOOL] = {set_bool, bool_text, sizeof(bool)},
	[CONF_INT] = {set_int, int_text, sizeof(int64_t)},
	[CONF_SIZE] = {set_size, size_text, sizeof(uint64_t)},
	[CONF_DURATION] = {set_duration, duration_text, sizeof(uint64_t)},
	[CONF_ENUM] = {set_enum, enum_text, sizeof(int)},
	[CONF_LISTEN] = {set_listen, listen_text, sizeof(struct listen_list)},
};

int conf_value_set(const struct conf_key *key, void *target, struct str text, struct err *e)
{
	return types[key->type].set(key, (char *)target + key->offset, text, e);
}

int conf_value_text(const struct conf_key *key, const void *target, struct buf *out, struct err *e)
{
	return types[key->type].text(key, (const char *)target + key->offset, out, e);
}

void conf_value_free(const struct conf_key *key, void *target)
{
	void *field = (char *)target + key->offset;

	if (key->type <= CONF_PATH)
		free_string(key, *(char **)field);
	memset(field, 0, types[key->type].size);
}

static_assert(CONF_STRING < CONF_PATH && CONF_SECRET < CONF_PATH, "strings come first");
