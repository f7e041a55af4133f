/* Listen and peer addresses as text and sockaddr. Thread: any. */
#ifndef CARDEA_NET_ADDR_H
#define CARDEA_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/core/err.h"
#include "common/core/str.h"

enum { ADDR_TEXT_SIZE = 64 };

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	} u;
};

/* "127.0.0.1:8001", "[::1]:8001": numeric only. Port 0 is allowed (the kernel chooses). */
int addr_parse(struct addr *out, struct str text, struct err *e) must_check;
/* The same form back; out has at least ADDR_TEXT_SIZE bytes. */
void addr_text(const struct addr *a, char *out, size_t size);
/* Without the port. */
void addr_ip_text(const struct addr *a, char *out, size_t size);
uint16_t addr_port(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
/* "192.0.2.1", "2001:db8::1": no port, no brackets, no zone. -1: anything else. */
int addr_parse_ip(struct addr *out, struct str text) must_check;
void addr_set_port(struct addr *a, uint16_t port);
/* An IPv4 address in IPv6 form (::ffff:192.0.2.1) becomes the IPv4 address. */
void addr_unmap(struct addr *a);
/* Whether both are the same IP address, whatever the port. */
bool addr_same_ip(const struct addr *a, const struct addr *b);
/* An order, as memcmp's: by family, IP, port. 0: the same address. */
int addr_compare(const struct addr *a, const struct addr *b);

/* One entry of a Kong `*_listen` value: "0.0.0.0:8443 ssl http2 reuseport backlog=1024". */
struct listen_entry {
	struct addr addr;
	bool ssl;
	bool http2;
	bool reuseport;
	bool proxy_protocol;
	unsigned backlog; /* 0: default */
};
enum { LISTEN_ENTRIES_MAX = 16 };
struct listen_list {
	struct listen_entry entries[LISTEN_ENTRIES_MAX];
	size_t count; /* 0: "off" */
};
/* A comma-separated list, or "off". ERR_INVALID names the entry and what is allowed. */
int listen_parse(struct listen_list *out, struct str text, struct err *e) must_check;
/* Splits "host:port" (a name or numeric, brackets for IPv6) as in cluster_control_plane. host is
 * NUL-terminated. */
int host_port_parse(struct str text, char *host, size_t host_size, uint16_t *port,
		    struct err *e) must_check;

#endif
