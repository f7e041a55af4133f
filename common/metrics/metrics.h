/* Counters, gauges and histograms with a bounded label set, shown as Prometheus text 0.0.4.
 *
 * A metric family is declared once, at start; a series is made by metrics_series (labels are values
 * of the family's label names) and kept by its owner. Updates are relaxed atomics on memory of the
 * thread's own (made on its first update of a series), so that threads do not share cache lines:
 * any thread. Making series and rendering take a lock.
 */
#ifndef CARDEA_METRICS_METRICS_H
#define CARDEA_METRICS_METRICS_H

#include <stdint.h>

#include "common/core/err.h"
#include "common/core/str.h"

struct metrics;
struct metric_family;
struct metric_series;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_LABELS_MAX = 6, METRIC_SERIES_MAX = 1000 };

/* NULL when out of memory. Free it after the last update; NULL is fine. */
struct metrics *metrics_create(void);
void metrics_free(struct metrics *m);

/* label_names: NULL-terminated list of at most METRIC_LABELS_MAX, or NULL. bounds: upper bounds of
 * a histogram in seconds, n of them. All strings are literals. NULL when out of memory. */
struct metric_family *metrics_family(struct metrics *m, enum metric_type type, const char *name,
				     const char *help, const char *const *label_names,
				     const double *bounds, size_t n);
/* How many series a family may have; METRIC_SERIES_MAX until then. */
void metrics_limit(struct metric_family *f, size_t max);
/* The series with these label values (copied), made on first use. Over the family's limit its
 * "other" series is returned. Never NULL but when out of memory. */
struct metric_series *metrics_series(struct metric_family *f, const char *const *label_values);

void metric_add(struct metric_series *s, uint64_t n);	    /* counter */
void metric_set(struct metric_series *s, double value);	    /* gauge */
void metric_observe(struct metric_series *s, double value); /* histogram */
/* The counter's or gauge's value, the histogram's count. */
double metric_value(const struct metric_series *s);
/* Runs before each rendering, for gauges that are computed. */
int metrics_on_render(struct metrics *m, void (*fn)(void *arg), void *arg,
		      struct err *e) must_check;
/* Appends the whole exposition. */
int metrics_render(struct metrics *m, struct buf *out, struct err *e) must_check;

#endif
