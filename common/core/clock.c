#include "common/core/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct {
	bool on;
	uint64_t mono_ns;
	int64_t wall_ms;
	uint64_t wall_rest_ns; /* below a millisecond */
} fake;

uint64_t clock_mono_ns(void)
{
	struct timespec t;

	if (fake.on)
		return fake.mono_ns;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

int64_t clock_wall_ms(void)
{
	struct timespec t;

	if (fake.on)
		return fake.wall_ms;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void clock_fake(uint64_t mono_ns, int64_t wall_ms)
{
	fake.on = true;
	fake.mono_ns = mono_ns;
	fake.wall_ms = wall_ms;
	fake.wall_rest_ns = 0;
}

void clock_fake_advance(uint64_t ns)
{
	fake.mono_ns += ns;
	fake.wall_rest_ns += ns;
	fake.wall_ms += (int64_t)(fake.wall_rest_ns / 1000000U);
	fake.wall_rest_ns %= 1000000U;
}

void clock_fake_end(void)
{
	fake.on = false;
}

void clock_text(int64_t seconds, char *out, size_t size)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
}

/* Reads exactly n digits at *at. */
static bool take_number(struct str s, size_t *at, size_t n, int *out)
{
	uint64_t value;

	if (*at > s.len || s.len - *at < n || str_u64(str_sub(s, *at, *at + n), &value) < 0)
		return false;
	*at += n;
	*out = (int)value;
	return true;
}

static bool take_text(struct str s, size_t *at, struct str text)
{
	if (!str_starts(str_sub(s, *at, s.len), text))
		return false;
	*at += text.len;
	return true;
}

static bool take_month(struct str s, size_t *at, int *month)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12; i++) {
		if (take_text(s, at, (struct str){names + 3 * i, 3})) {
			*month = i + 1;
			return true;
		}
	}
	return false;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* A leap second (60) is taken as the second after. */
static int to_seconds(const int ymd[3], const int hms[3], int64_t *seconds, struct err *e)
{
	struct tm tm = {0};

	if (ymd[1] < 1 || ymd[1] > 12 || ymd[2] < 1 || ymd[2] > days_in_month(ymd[0], ymd[1]) ||
	    hms[0] > 23 || hms[1] > 59 || hms[2] > 60)
		return err_set(e, ERR_INVALID, "date is not in the calendar");
	tm.tm_year = ymd[0] - 1900;
	tm.tm_mon = ymd[1] - 1;
	tm.tm_mday = ymd[2];
	tm.tm_hour = hms[0];
	tm.tm_min = hms[1];
	tm.tm_sec = hms[2];
	*seconds = (int64_t)timegm(&tm);
	return 0;
}

static bool take_hms(struct str s, size_t *at, int hms[3])
{
	return take_number(s, at, 2, &hms[0]) && take_text(s, at, STR(":")) &&
	       take_number(s, at, 2, &hms[1]) && take_text(s, at, STR(":")) &&
	       take_number(s, at, 2, &hms[2]);
}

int clock_parse_http_date(struct str text, int64_t *seconds, struct err *e)
{
	int ymd[3], hms[3];
	size_t at = str_find(text, ',', 0);

	if (at != 3 || !take_text(text, &at, STR(", ")) || !take_number(text, &at, 2, &ymd[2]) ||
	    !take_text(text, &at, STR(" ")) || !take_month(text, &at, &ymd[1]) ||
	    !take_text(text, &at, STR(" ")) || !take_number(text, &at, 4, &ymd[0]) ||
	    !take_text(text, &at, STR(" ")) || !take_hms(text, &at, hms) ||
	    !take_text(text, &at, STR(" GMT")) || at != text.len)
		return err_set(e, ERR_INVALID, "not an HTTP date");
	return to_seconds(ymd, hms, seconds, e);
}

static bool take_fraction(struct str s, size_t *at)
{
	size_t start;

	if (!take_text(s, at, STR(".")))
		return true;
	start = *at;
	while (*at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9')
		(*at)++;
	return *at > start;
}

/* "Z" or "+hh:mm" or "-hh:mm", to seconds east of UTC. */
static bool take_zone(struct str s, size_t *at, int *offset)
{
	int sign = 1, h, m;

	*offset = 0;
	if (take_text(s, at, STR("Z")) || take_text(s, at, STR("z")))
		return true;
	if (take_text(s, at, STR("-")))
		sign = -1;
	else if (!take_text(s, at, STR("+")))
		return false;
	if (!take_number(s, at, 2, &h) || !take_text(s, at, STR(":")) ||
	    !take_number(s, at, 2, &m) || h > 23 || m > 59)
		return false;
	*offset = sign * (h * 3600 + m * 60);
	return true;
}

int clock_parse_rfc3339(struct str text, int64_t *seconds, struct err *e)
{
	int ymd[3], hms[3], offset;
	int64_t local;
	size_t at = 0;

	if (!take_number(text, &at, 4, &ymd[0]) || !take_text(text, &at, STR("-")) ||
	    !take_number(text, &at, 2, &ymd[1]) || !take_text(text, &at, STR("-")) ||
	    !take_number(text, &at, 2, &ymd[2]) ||
	    !(take_text(text, &at, STR("T")) || take_text(text, &at, STR("t"))) ||
	    !take_hms(text, &at, hms) || !take_fraction(text, &at) ||
	    !take_zone(text, &at, &offset) || at != text.len)
		return err_set(e, ERR_INVALID, "not an RFC 3339 time");
	if (to_seconds(ymd, hms, &local, e) < 0)
		return -1;
	*seconds = local - offset;
	return 0;
}
