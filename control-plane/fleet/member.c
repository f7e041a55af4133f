/* Who is live in the cluster. */
#include "control-plane/fleet/member.h"

struct member {
	char id[UUID_TEXT_SIZE];
	char control_plane[UUID_TEXT_SIZE]; /* "": this one */
	char hostname[256];
	uint64_t revision;
	uint64_t seen_ms;
	bool connected;
	bool local;
};

void members_init(struct members *m, uint64_t grace_ms)
{
	map_init(&m->by_id);
	m->grace_ms = grace_ms;
}

void members_deinit(struct members *m)
{
	size_t pos = 0;
	void *value;

	while (map_next(&m->by_id, &pos, NULL, &value))
		free(value);
	map_deinit(&m->by_id);
}

static bool is_live(const struct members *m, const struct member *b, uint64_t now_ms)
{
	uint64_t limit = m->grace_ms;

	if (b->connected && b->local)
		return true;
	if (b->connected)
		limit += MEMBER_SILENCE_MS;
	return now_ms <= b->seen_ms || now_ms - b->seen_ms <= limit;
}

/* Whether b is known better than r tells. */
static bool is_outdated(const struct member *b, const struct member_report *r)
{
	if (r->local)
		return false;
	if (b->local)
		return b->connected || !r->connected;
	if (r->seen_ms < b->seen_ms)
		return true;
	return b->connected && !r->connected && r->control_plane &&
	       strcmp(b->control_plane, r->control_plane) != 0;
}

int members_report(struct members *m, const struct member_report *r, struct err *e)
{
	struct member *b = map_get(&m->by_id, str_from(r->id));

	if (b && is_outdated(b, r))
		return 0;
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return err_memory(e, "member");
		snprintf(b->id, sizeof(b->id), "%s", r->id);
		if (map_put(&m->by_id, str_from(r->id), b, NULL, e)) {
			free(b);
			return -1;
		}
	}
	if (r->hostname)
		snprintf(b->hostname, sizeof(b->hostname), "%s", r->hostname);
	snprintf(b->control_plane, sizeof(b->control_plane), "%s",
		 r->control_plane ? r->control_plane : "");
	b->revision = r->revision;
	b->seen_ms = r->seen_ms;
	b->connected = r->connected;
	b->local = r->local;
	return 0;
}

void members_forget_acks(struct members *m)
{
	size_t pos = 0;
	void *value;

	while (map_next(&m->by_id, &pos, NULL, &value))
		((struct member *)value)->revision = 0;
}

void members_expire(struct members *m, uint64_t now_ms)
{
	size_t pos = 0;
	struct str key;
	void *value;

	while (map_next(&m->by_id, &pos, &key, &value)) {
		if (is_live(m, value, now_ms))
			continue;
		(void)map_remove(&m->by_id, key);
		free(value);
	}
}

uint64_t members_live(const struct members *m, uint64_t revision, uint64_t now_ms,
		      uint64_t *missing)
{
	uint64_t live = 0;
	uint64_t late = 0;
	size_t pos = 0;
	void *value;

	while (map_next(&m->by_id, &pos, NULL, &value)) {
		const struct member *b = value;
		if (!is_live(m, b, now_ms))
			continue;
		live++;
		late += b->revision < revision ? 1 : 0;
	}
	if (missing)
		*missing = late;
	return live;
}

uint64_t members_newest(const struct members *m, uint64_t now_ms)
{
	uint64_t newest = 0;
	size_t pos = 0;
	void *value;

	while (map_next(&m->by_id, &pos, NULL, &value)) {
		const struct member *b = value;
		if (b->revision > newest && is_live(m, b, now_ms))
			newest = b->revision;
	}
	return newest;
}

json_t *members_missing(const struct members *m, uint64_t revision, uint64_t now_ms)
{
	json_t *out = json_array();
	size_t pos = 0;
	void *value;

	while (out && map_next(&m->by_id, &pos, NULL, &value)) {
		const struct member *b = value;
		if (b->revision >= revision || !is_live(m, b, now_ms))
			continue;
		if (json_array_append_new(out, json_pack("{s:s, s:s, s:I}", "id", b->id, "hostname",
							 b->hostname, "revision",
							 (json_int_t)b->revision))) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}
