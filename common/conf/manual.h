/* Tables as parts of manual pages, in mdoc(7): so that pages never say anything but what the
 * programs do. Thread: main. */
#ifndef CARDEA_CONF_MANUAL_H
#define CARDEA_CONF_MANUAL_H

#include <stdio.h>

#include "common/conf/conf.h"

/* Text as roff prints it: nothing in it is taken for a request or a macro. On the same line. */
void manual_text(FILE *out, const char *text);
/* A line of its own: with a capital letter first and a full stop at the end. */
void manual_sentence(FILE *out, const char *text);
/* The items of a list: each key with what it takes, its default and its help. */
void manual_keys(FILE *out, const struct conf_key *keys, size_t n);

#endif
