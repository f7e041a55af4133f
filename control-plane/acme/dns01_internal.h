/* Between dns01.c (an order's records), dns01_apply.c (into DNS and out of it) and dns01_sweep.c.
 */
#ifndef CARDEA_ACME_DNS01_INTERNAL_H
#define CARDEA_ACME_DNS01_INTERNAL_H

#include "common/core/codec.h"
#include "common/net/loop.h"
#include "control-plane/acme/dns01.h"
#include "control-plane/acme/dns_zone.h"
#include "control-plane/acme/engine.h"

struct dns01_record {
	char id[UUID_TEXT_SIZE];
	char name[DNS01_NAME_SIZE];
	char value[DNS01_VALUE_SIZE];
	struct dns_place place; /* name "": nobody knows it, so nothing was set */
	bool done;		/* what was to be done with it is done, or shown */
	char who[ADDR_TEXT_SIZE];
	struct err err; /* else why not */
};

struct dns01_job {
	struct link link; /* on acme.dns01.waiting, or on none */
	struct acme *acme;
	struct order *order; /* NULL: of the sweep, or its run is over */
	bool sweep;
	bool busy; /* a callback of store or pool will come */
	bool add;
	struct dns01_record *records; /* owned; n */
	size_t count;
	struct work work;
	void (*run)(struct dns01_job *j);  /* thread: pool, which has the records meanwhile */
	void (*then)(struct dns01_job *j); /* behind run, or behind dns01_apply */
	void (*done)(struct order *o);	   /* of dns01_begin */
	struct fetch *fetch;		   /* of the webhook, about records[at] */
	size_t at;
	uint64_t stop_ns;  /* nothing is set later than that (monotonic) */
	uint64_t asked_ns; /* when the row's time was asked for */
	uint64_t shown_by_ns;
	unsigned looks;
};

/* dns01.c. NULL: out of memory. */
struct dns01_job *dns01_job_create(struct acme *a, size_t records);
void dns01_job_free(struct dns01_job *j);
/* Of a row with id, name, value, target, zone. -1: it is broken. */
int dns01_record_load(struct dns01_record *r, const json_t *row) must_check;
/* Runs on the pool when there is room, then j->then on the loop. */
void dns01_pool(struct dns01_job *j, void (*run)(struct dns01_job *j),
		void (*then)(struct dns01_job *j));
/* Around each query of a job; false: it is gone (freed). */
void dns01_sleep(struct dns01_job *j);
bool dns01_awoke(struct dns01_job *j);
void dns01_count(struct acme *a, enum dns01_result r, uint64_t n);

/* dns01_apply.c: sets the records, or removes them; then j->then: each is done, or has err. */
void dns01_apply(struct dns01_job *j, void (*then)(struct dns01_job *j));

#endif
