/* Encoded Change messages of generic entities for tests, from one line of text:
 *
 *     "name=a port=#12 on=! list=[a,b] map={x-a:[1,2];x-b:{y:[3]}} id=#bytes"
 *
 * "!": true; "!no": false; "#": the bytes behind it as an id, or 16 times the one byte of "#x";
 * digits with "%" before them: an integer, or a number when there is a point; "'": text. */
#ifndef CARDEA_TESTS_TESTENTITY_H
#define CARDEA_TESTS_TESTENTITY_H

#include "common/core/arena.h"
#include "common/core/str.h"

struct Cardea__V1__Record;

/* Appended to out; id is one byte repeated. */
void testentity_change(struct buf *out, unsigned id, const char *kind, const char *fields);
/* The record alone, in the arena. */
struct Cardea__V1__Record *testentity_record(struct arena *a, const char *fields);

/* The same with one more field, whose text may hold any bytes. */
struct Cardea__V1__Record *testentity_text(struct arena *a, const char *fields, const char *name,
					   struct str text);

#endif
