#include "common/metrics/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/core/map.h"

enum { HOOKS_MAX = 32, NUMBER_SIZE = 32, SHARDS = 16, CACHE_LINE = 64 };

/* Doubles are kept as their bits, so that every value is one 64-bit atomic. */
struct cells {
	_Alignas(CACHE_LINE) _Atomic uint64_t value; /* counter: number; gauge: bits; histogram:
							bits of the sum */
	_Atomic uint64_t counts[]; /* histogram: observations per bucket, the last is +Inf */
};

struct metric_series {
	const struct metric_family *family;
	struct metric_series *next;
	char *labels;	     /* as shown between the braces, escaped; "" without labels */
	struct cells *first; /* of gauges, and of who has no memory for cells of its own */
	_Atomic(struct cells *) shards[SHARDS]; /* by thread; NULL: that one has added nothing */
};

struct metric_family {
	struct metrics *owner;
	struct metric_family *next;
	enum metric_type type;
	const char *name, *help;
	const char *const *label_names;
	size_t label_count;
	const double *bounds;
	size_t bound_count;
	size_t series_max;
	struct map by_labels;		     /* under owner->lock, as all below */
	struct metric_series *first, **last; /* in the order they were made */
	struct metric_series *other;
};

struct hook {
	void (*fn)(void *arg);
	void *arg;
};

struct metrics {
	pthread_mutex_t lock;
	struct metric_family *first, **last;
	struct hook hooks[HOOKS_MAX];
	size_t hook_count;
};

static const char *const type_names[] = {"counter", "gauge", "histogram"};

struct metrics *metrics_create(void)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	if (pthread_mutex_init(&m->lock, NULL) != 0) {
		free(m);
		return NULL;
	}
	m->last = &m->first;
	return m;
}

static void series_free(struct metric_series *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SHARDS; i++)
		free(atomic_load(&s->shards[i]));
	free(s->first);
	free(s->labels);
	free(s);
}

static struct cells *make_cells(const struct metric_family *f)
{
	size_t counts = f->type == METRIC_HISTOGRAM ? f->bound_count + 1 : 0;
	size_t size = sizeof(struct cells) + counts * sizeof(uint64_t);
	struct cells *c;

	size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	c = aligned_alloc(CACHE_LINE, size);
	if (!c)
		return NULL;
	atomic_init(&c->value, 0);
	for (size_t i = 0; i < counts; i++)
		atomic_init(&c->counts[i], 0);
	return c;
}

static void family_free(struct metric_family *f)
{
	while (f->first) {
		struct metric_series *s = f->first;

		f->first = s->next;
		series_free(s);
	}
	map_deinit(&f->by_labels);
	free(f);
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	while (m->first) {
		struct metric_family *f = m->first;

		m->first = f->next;
		family_free(f);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static struct metric_family *find_family(const struct metrics *m, const char *name)
{
	for (struct metric_family *f = m->first; f; f = f->next)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static struct metric_family *add_family(struct metrics *m, enum metric_type type, const char *name)
{
	struct metric_family *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->owner = m;
	f->type = type;
	f->name = name;
	f->last = &f->first;
	f->series_max = METRIC_SERIES_MAX;
	map_init(&f->by_labels);
	*m->last = f;
	m->last = &f->next;
	return f;
}

struct metric_family *metrics_family(struct metrics *m, enum metric_type type, const char *name,
				     const char *help, const char *const *label_names,
				     const double *bounds, size_t n)
{
	struct metric_family *f;

	pthread_mutex_lock(&m->lock);
	f = find_family(m, name);
	assert(!f || f->type == type);
	if (!f)
		f = add_family(m, type, name);
	if (f) {
		f->help = help;
		f->label_names = label_names;
		for (f->label_count = 0; label_names && label_names[f->label_count];)
			f->label_count++;
		f->bounds = bounds;
		f->bound_count = type == METRIC_HISTOGRAM ? n : 0;
		assert(f->label_count <= METRIC_LABELS_MAX);
	}
	pthread_mutex_unlock(&m->lock);
	return f;
}

/* Bytes of the UTF-8 character at p, or 0 when there is none (RFC 3629). */
static size_t utf8_length(const unsigned char *p)
{
	size_t n = p[0] < 0x80			 ? 1
		   : p[0] >= 0xC2 && p[0] < 0xE0 ? 2
		   : (p[0] & 0xF0) == 0xE0	 ? 3
						 : 4;

	if (n == 1)
		return 1;
	if (p[0] < 0xC2 || p[0] > 0xF4 || (p[0] == 0xE0 && p[1] < 0xA0) ||
	    (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
	    (p[0] == 0xF4 && p[1] > 0x8F))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return n;
}

/* Escapes as the exposition format asks. A byte that is not UTF-8 would make the reader refuse the
 * whole page, so it becomes a question mark. */
static int add_escaped(struct buf *out, const char *text, bool quotes, struct err *e)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		size_t n = utf8_length(p);
		struct str piece = {(const char *)p, n};

		if (n == 0)
			piece = STR("?");
		else if (*p == '\\')
			piece = STR("\\\\");
		else if (*p == '\n')
			piece = STR("\\n");
		else if (*p == '"' && quotes)
			piece = STR("\\\"");
		if (buf_add_str(out, piece, e) < 0)
			return -1;
		p += n ? n : 1;
	}
	return 0;
}

/* values NULL: every label is "other". */
static int labels_text(const struct metric_family *f, const char *const *values, struct buf *out)
{
	for (size_t i = 0; i < f->label_count; i++)
		if (buf_addf(out, NULL, "%s%s=\"", i > 0 ? "," : "", f->label_names[i]) < 0 ||
		    add_escaped(out, values ? values[i] : "other", true, NULL) < 0 ||
		    buf_add_str(out, STR("\""), NULL) < 0)
			return -1;
	return buf_reserve(out, 0, NULL);
}

static struct metric_series *add_series(struct metric_family *f, struct str labels)
{
	struct metric_series *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->family = f;
	s->labels = str_dup(labels);
	s->first = make_cells(f);
	if (!s->labels || !s->first || map_put(&f->by_labels, labels, s, NULL, NULL) < 0) {
		series_free(s);
		return NULL;
	}
	*f->last = s;
	f->last = &s->next;
	return s;
}

static struct metric_series *other_series(struct metric_family *f)
{
	struct buf labels = BUF_INIT;

	if (!f->other && labels_text(f, NULL, &labels) == 0) {
		f->other = map_get(&f->by_labels, buf_str(&labels));
		if (!f->other)
			f->other = add_series(f, buf_str(&labels));
	}
	buf_deinit(&labels);
	return f->other;
}

void metrics_limit(struct metric_family *f, size_t max)
{
	pthread_mutex_lock(&f->owner->lock);
	f->series_max = max;
	pthread_mutex_unlock(&f->owner->lock);
}

struct metric_series *metrics_series(struct metric_family *f, const char *const *label_values)
{
	struct buf labels = BUF_INIT;
	struct metric_series *s = NULL;

	assert(label_values || f->label_count == 0);
	pthread_mutex_lock(&f->owner->lock);
	if (labels_text(f, label_values, &labels) == 0) {
		s = map_get(&f->by_labels, buf_str(&labels));
		if (!s && f->by_labels.count >= f->series_max)
			s = other_series(f);
		else if (!s)
			s = add_series(f, buf_str(&labels));
	}
	pthread_mutex_unlock(&f->owner->lock);
	buf_deinit(&labels);
	return s;
}

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static double double_of(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* The number of the calling thread's shard. */
static unsigned shard_number(void)
{
	static atomic_uint next;
	static _Thread_local unsigned mine; /* plus one; 0: none yet */

	if (mine == 0)
		mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % SHARDS + 1;
	return mine - 1;
}

/* The calling thread's cells of a series. */
static struct cells *own_cells(struct metric_series *s)
{
	_Atomic(struct cells *) *at = &s->shards[shard_number()];
	struct cells *c = atomic_load_explicit(at, memory_order_acquire), *old = NULL;

	if (c)
		return c;
	c = make_cells(s->family);
	if (!c)
		return s->first;
	if (atomic_compare_exchange_strong(at, &old, c))
		return c;
	free(c); /* of two threads with the same number, the other was first */
	return old;
}

void metric_add(struct metric_series *s, uint64_t n)
{
	assert(s->family->type == METRIC_COUNTER);
	atomic_fetch_add_explicit(&own_cells(s)->value, n, memory_order_relaxed);
}

void metric_set(struct metric_series *s, double value)
{
	assert(s->family->type == METRIC_GAUGE);
	atomic_store_explicit(&s->first->value, bits_of(value), memory_order_relaxed);
}

void metric_observe(struct metric_series *s, double value)
{
	const struct metric_family *f = s->family;
	struct cells *c = own_cells(s);
	uint64_t old = atomic_load_explicit(&c->value, memory_order_relaxed);
	size_t i = 0;

	assert(f->type == METRIC_HISTOGRAM);
	while (i < f->bound_count && !(value <= f->bounds[i]))
		i++;
	atomic_fetch_add_explicit(&c->counts[i], 1, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&c->value, &old,
						      bits_of(double_of(old) + value),
						      memory_order_relaxed, memory_order_relaxed))
		;
}

/* The i-th cells of a series, or NULL. */
static const struct cells *cells_at(const struct metric_series *s, size_t i)
{
	return i < SHARDS ? atomic_load_explicit(&s->shards[i], memory_order_acquire) : s->first;
}

static uint64_t counter_of(const struct metric_series *s)
{
	uint64_t sum = 0;

	for (size_t k = 0; k <= SHARDS; k++) {
		const struct cells *c = cells_at(s, k);

		if (c)
			sum += atomic_load_explicit(&c->value, memory_order_relaxed);
	}
	return sum;
}

static double gauge_of(const struct metric_series *s)
{
	return double_of(atomic_load_explicit(&s->first->value, memory_order_relaxed));
}

static double sum_of(const struct metric_series *s)
{
	double sum = 0;

	for (size_t k = 0; k <= SHARDS; k++) {
		const struct cells *c = cells_at(s, k);

		if (c)
			sum += double_of(atomic_load_explicit(&c->value, memory_order_relaxed));
	}
	return sum;
}

static uint64_t bucket_of(const struct metric_series *s, size_t i)
{
	uint64_t sum = 0;

	for (size_t k = 0; k <= SHARDS; k++) {
		const struct cells *c = cells_at(s, k);

		if (c)
			sum += atomic_load_explicit(&c->counts[i], memory_order_relaxed);
	}
	return sum;
}

static uint64_t count_of(const struct metric_series *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= s->family->bound_count; i++)
		sum += bucket_of(s, i);
	return sum;
}

double metric_value(const struct metric_series *s)
{
	if (s->family->type == METRIC_HISTOGRAM)
		return (double)count_of(s);
	return s->family->type == METRIC_GAUGE ? gauge_of(s) : (double)counter_of(s);
}

int metrics_on_render(struct metrics *m, void (*fn)(void *arg), void *arg, struct err *e)
{
	int result = 0;

	pthread_mutex_lock(&m->lock);
	if (m->hook_count == HOOKS_MAX)
		result = err_set(e, ERR_LIMIT, "more than %d metrics hooks", HOOKS_MAX);
	else
		m->hooks[m->hook_count++] = (struct hook){fn, arg};
	pthread_mutex_unlock(&m->lock);
	return result;
}

/* The shortest text that reads back as the same number. */
static const char *number_text(double value, char out[NUMBER_SIZE])
{
	if (isnan(value))
		return "NaN";
	if (isinf(value))
		return value > 0 ? "+Inf" : "-Inf";
	(void)snprintf(out, NUMBER_SIZE, "%.15g", value);
	if (strtod(out, NULL) != value)
		(void)snprintf(out, NUMBER_SIZE, "%.17g", value);
	return out;
}

/* `name_suffix{labels,le="bound"} ` without the value. */
static int add_head(struct buf *out, const struct metric_series *s, const char *suffix,
		    const char *bound, struct err *e)
{
	const char *comma = s->labels[0] && bound ? "," : "";

	if (buf_addf(out, e, "%s%s", s->family->name, suffix) < 0)
		return -1;
	if (bound)
		return buf_addf(out, e, "{%s%sle=\"%s\"} ", s->labels, comma, bound);
	return s->labels[0] ? buf_addf(out, e, "{%s} ", s->labels) : buf_addf(out, e, " ");
}

static int render_histogram(struct buf *out, const struct metric_series *s, struct err *e)
{
	const struct metric_family *f = s->family;
	double sum = sum_of(s);
	uint64_t total = 0;
	char number[NUMBER_SIZE];

	for (size_t i = 0; i <= f->bound_count; i++) {
		double bound = i < f->bound_count ? f->bounds[i] : INFINITY;

		total += bucket_of(s, i);
		if (add_head(out, s, "_bucket", number_text(bound, number), e) < 0 ||
		    buf_addf(out, e, "%" PRIu64 "\n", total) < 0)
			return -1;
	}
	if (add_head(out, s, "_sum", NULL, e) < 0 ||
	    buf_addf(out, e, "%s\n", number_text(sum, number)) < 0 ||
	    add_head(out, s, "_count", NULL, e) < 0)
		return -1;
	return buf_addf(out, e, "%" PRIu64 "\n", total);
}

static int render_series(struct buf *out, const struct metric_series *s, struct err *e)
{
	char number[NUMBER_SIZE];

	if (s->family->type == METRIC_HISTOGRAM)
		return render_histogram(out, s, e);
	if (add_head(out, s, "", NULL, e) < 0)
		return -1;
	if (s->family->type == METRIC_COUNTER)
		return buf_addf(out, e, "%" PRIu64 "\n", counter_of(s));
	return buf_addf(out, e, "%s\n", number_text(gauge_of(s), number));
}

static int render_family(struct buf *out, const struct metric_family *f, struct err *e)
{
	if (buf_addf(out, e, "# HELP %s ", f->name) < 0 ||
	    add_escaped(out, f->help, false, e) < 0 ||
	    buf_addf(out, e, "\n# TYPE %s %s\n", f->name, type_names[f->type]) < 0)
		return -1;
	for (const struct metric_series *s = f->first; s; s = s->next)
		if (render_series(out, s, e) < 0)
			return -1;
	return 0;
}

/* Hooks may make series, which takes the lock, so they run before it is held. */
static void run_hooks(struct metrics *m)
{
	struct hook hooks[HOOKS_MAX];
	size_t n;

	pthread_mutex_lock(&m->lock);
	n = m->hook_count;
	memcpy(hooks, m->hooks, n * sizeof(hooks[0]));
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < n; i++)
		hooks[i].fn(hooks[i].arg);
}

int metrics_render(struct metrics *m, struct buf *out, struct err *e)
{
	int result = 0;

	run_hooks(m);
	pthread_mutex_lock(&m->lock);
	for (const struct metric_family *f = m->first; f && result == 0; f = f->next)
		result = render_family(out, f, e);
	pthread_mutex_unlock(&m->lock);
	return result < 0 ? err_prefix(e, "rendering metrics") : 0;
}
