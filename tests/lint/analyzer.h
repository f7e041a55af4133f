/* Read before each source by clang-tidy only, which sees one file at a time: these always fail. */
#ifndef CARDEA_LINT_ANALYZER_H
#define CARDEA_LINT_ANALYZER_H

#include "common/core/err.h"

#define err_set(...) ((void)(err_set)(__VA_ARGS__), -1)
#define err_errno(...) ((void)(err_errno)(__VA_ARGS__), -1)
#define err_openssl(...) ((void)(err_openssl)(__VA_ARGS__), -1)
#define err_memory(...) ((void)(err_memory)(__VA_ARGS__), -1)
#define err_prefix(...) ((void)(err_prefix)(__VA_ARGS__), -1)

#endif
