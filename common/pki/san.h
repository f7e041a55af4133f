/* Subject alternative names for certificates and requests that we make. Thread: any. */
#ifndef CARDEA_PKI_SAN_H
#define CARDEA_PKI_SAN_H

#include <openssl/x509v3.h>
#include <stdbool.h>

#include "common/core/err.h"
#include "common/core/str.h"

/* Whether text is an IPv4 or IPv6 address. */
bool san_is_ip(struct str text);
/* Adds a DNS name, or an address when the text is one. ERR_INVALID: not ASCII, empty, too long. */
int san_add(GENERAL_NAMES *names, struct str text, struct err *e) must_check;

#endif
