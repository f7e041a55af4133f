/* Messages of the stream by hand, for tests that must not use the generated code. */
#ifndef CARDEA_TESTS_WIRE_H
#define CARDEA_TESTS_WIRE_H

#include "common/core/str.h"

enum { WIRE_SIZE = 128 };

/* Reads a varint at *at and steps over it. */
uint64_t wire_varint(const unsigned char *p, size_t *at);
/* Field `number` of a message of varints and bytes: its value, or its length with *bytes (may be
 * NULL) set to its bytes. 0 when it is not there. */
uint64_t wire_field(const unsigned char *p, size_t n, uint64_t number, const char **bytes);

/* PlaneMessages; epoch is one letter, numbers are below 128. The bytes live in out. */
struct str wire_begin(char out[WIRE_SIZE], char epoch, char revision);
struct str wire_commit(char out[WIRE_SIZE], char epoch, char revision, char since);
/* A challenge whose host is a word of at most 32 letters; its id is 16 zeros. */
struct str wire_challenge(char out[WIRE_SIZE], const char *host);
/* A change of a kind of entity that nobody knows. */
struct str wire_unknown(char out[WIRE_SIZE]);

#endif
