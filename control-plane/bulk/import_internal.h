/* What the files of an import share. Private to control-plane/bulk/. */
#ifndef CARDEA_BULK_IMPORT_INTERNAL_H
#define CARDEA_BULK_IMPORT_INTERNAL_H

#include "control-plane/bulk/chunk.h"
#include "control-plane/bulk/import.h"

enum import_state {
	IMPORT_GATHERING,
	IMPORT_ASKING,
	IMPORT_LOOKING_UP,
	IMPORT_RESOLVING,
	IMPORT_STORING,
	IMPORT_PAUSING,
	IMPORT_CLEARING,
	IMPORT_ENDING,
	IMPORT_STATES,
};

/* A batch on its way. */
struct parcel {
	struct link link;
	struct import *import;
	struct batch batch;
	struct link chunks; /* in order, until the batch has their rows */
	size_t lines, bytes;
	size_t unchecked; /* chunks */
	bool closed;	  /* all its lines came */
	unsigned tries;
};

struct question {
	struct import *import;
	size_t lookup;
};

struct import {
	enum import_state state;
	struct import_conf conf;
	struct import_events events;
	struct ndjson lines;
	struct chunk *filling;
	struct parcel *open;  /* the last of parcels, while it is not closed; or NULL */
	struct parcel *spent; /* while it is cleared */
	struct link parcels;  /* the first is the one at work */
	struct import_counts counts;
	struct arena arena;	/* of the note */
	struct store_note note; /* actor NULL: none */
	json_t *errors;
	struct err err;	    /* of the step that runs on the pool */
	struct err stopped; /* why it ended early */
	struct work step;   /* of the parcel at work */
	struct timer pause;
	struct deferred soon; /* advance */
	struct question questions[LOOKUP_KINDS_MAX];
	uint64_t away_since_ns; /* the database; 0: it is there */
	size_t held_lines, held_bytes;
	unsigned workers, checking; /* chunks on the pool: most, now */
	unsigned lookups;	    /* answers to come */
	enum store_fault lookup_fault;
	bool step_busy; /* on the pool or in the database */
	bool full;	/* import_feed said so */
	bool input_done;
	bool told; /* on_done was given */
	bool released;
	void (*on_released)(void *arg);
	void *on_released_arg;
};

/* The parcel at work; NULL: none. */
struct parcel *import_head(const struct import *i);
/* Frees its rows and chunks too: not on the loop, for it takes long. */
void import_parcel_free(struct parcel *p);
/* The only writer of the state. */
void import_move(struct import *i, enum import_state to);
/* Does what can be done now. */
void import_advance(struct import *i);
/* The parcel at work is whole and checked. (import_steps.c) */
void import_begin_steps(struct import *i);
void import_on_pause(struct timer *t);

#endif
