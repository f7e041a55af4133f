/* Calls that are never right here: using one is a build error. Included in every .c by the Makefile
 * (-include). */
#ifndef CARDEA_CORE_BANNED_H
#define CARDEA_CORE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Fortified headers define these two as macros for clang. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok atoi atol atoll gets
#pragma GCC poison gmtime localtime ctime asctime tmpnam mktemp

#endif
