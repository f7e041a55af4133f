#include "tests/unit/lib/dns_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_SIZE = 4096, HEADER = 12, RCODE_NAME = 3 };

static size_t put16(unsigned char *out, unsigned v)
{
	out[0] = (unsigned char)(v >> 8);
	out[1] = (unsigned char)v;
	return 2;
}

static size_t put_name(unsigned char *out, const char *name)
{
	size_t n = 0;

	while (*name) {
		size_t label = strcspn(name, ".");

		out[n++] = (unsigned char)label;
		memcpy(out + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	out[n++] = 0;
	return n;
}

size_t dns_question(const char *name, enum dns_type type, unsigned char *out)
{
	size_t n = HEADER;

	memset(out, 0, HEADER);
	out[5] = 1;
	n += put_name(out + n, name);
	n += put16(out + n, type);
	return n + put16(out + n, 1);
}

static size_t put_data(unsigned char *out, enum dns_type type, const char *data)
{
	uint64_t numbers[3];
	struct str rest = str_from(data), word = STR_NONE;

	if (type == DNS_A)
		return inet_pton(AF_INET, data, out) == 1 ? 4 : 0;
	if (type == DNS_AAAA)
		return inet_pton(AF_INET6, data, out) == 1 ? 16 : 0;
	if (type == DNS_CNAME)
		return put_name(out, data);
	for (size_t i = 0; i < array_len(numbers); i++) {
		assert_true(str_split(&rest, ' ', &word));
		assert_int_equal(str_u64(word, &numbers[i]), 0);
		put16(out + 2 * i, (unsigned)numbers[i]);
	}
	/* What is left ends with data. */
	return 6 + put_name(out + 6, strcmp(rest.ptr, ".") == 0 ? "" : rest.ptr);
}

static size_t put_row(unsigned char *out, const struct dns_row *row, unsigned *answers)
{
	size_t n = 0;

	for (size_t i = 0; i < array_len(row->data) && row->data[i]; i++) {
		size_t data;

		n += put_name(out + n, row->name);
		n += put16(out + n, row->type);
		n += put16(out + n, 1);
		n += put16(out + n, row->ttl >> 16);
		n += put16(out + n, row->ttl & 0xFFFF);
		data = put_data(out + n + 2, row->type, row->data[i]);
		n += put16(out + n, (unsigned)data) + data;
		++*answers;
	}
	return n;
}

static void read_name(const unsigned char *q, char *out, size_t *at)
{
	size_t n = 0;

	while (q[*at]) {
		size_t label = q[(*at)++];

		for (size_t i = 0; i < label && n < 250; i++) {
			char c = (char)q[(*at)++];

			out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		}
		if (q[*at])
			out[n++] = '.';
	}
	out[n] = '\0';
	++*at;
}

size_t dns_server_answer(const struct dns_server *s, const unsigned char *question, size_t len,
			 unsigned char *out, size_t size)
{
	char name[256];
	size_t at = HEADER, n;
	unsigned type, answers = 0, rcode = RCODE_NAME;

	assert_true(len > HEADER && size >= OUT_SIZE);
	read_name(question, name, &at);
	type = (unsigned)question[at] << 8 | question[at + 1];
	at += 4;
	memcpy(out, question, at);
	n = at;
	/* The chain first, then what it leads to. */
	for (unsigned hop = 0; hop < 3; hop++) {
		const char *next = NULL;

		for (size_t i = 0; i < DNS_SERVER_ROWS; i++) {
			const struct dns_row *row = &s->rows[i];

			if (!row->name || strcmp(row->name, name) != 0)
				continue;
			rcode = 0;
			if (row->type == DNS_CNAME && row->data[0])
				next = row->data[0];
			if (row->type == type || row->type == DNS_CNAME)
				n += put_row(out + n, row, &answers);
		}
		if (!next)
			break;
		snprintf(name, sizeof(name), "%s", next);
	}
	out[2] = 0x85;
	out[3] = (unsigned char)(0x80 | (s->rcode ? s->rcode : rcode));
	put16(out + 4, 1);
	put16(out + 6, s->rcode ? 0 : answers);
	memset(out + 8, 0, 4);
	return n;
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	struct dns_server *s = container_of((uv_udp_t *)(void *)h, struct dns_server, udp);

	(void)size;
	*buf = uv_buf_init(s->received, sizeof(s->received));
}

static void on_question(uv_udp_t *h, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
			unsigned flags)
{
	struct dns_server *s = container_of(h, struct dns_server, udp);
	unsigned char out[OUT_SIZE];
	uv_buf_t answer;

	(void)flags;
	if (n <= HEADER || !from)
		return;
	s->questions++;
	if (s->rcode == DNS_REFUSED_SILENTLY)
		return;
	answer = uv_buf_init((char *)out,
			     (unsigned)dns_server_answer(s, (const unsigned char *)buf->base,
							 (size_t)n, out, sizeof(out)));
	assert_true(uv_udp_try_send(h, &answer, 1, from) > 0);
}

void dns_server_start(struct dns_server *s, uv_loop_t *loop)
{
	struct sockaddr_in a;
	int len = sizeof(a);

	memset(s, 0, sizeof(*s));
	assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &a), 0);
	assert_int_equal(uv_udp_init(loop, &s->udp), 0);
	assert_int_equal(uv_udp_bind(&s->udp, (struct sockaddr *)&a, 0), 0);
	assert_int_equal(uv_udp_getsockname(&s->udp, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(uv_udp_recv_start(&s->udp, on_alloc, on_question), 0);
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(a.sin_port));
}

void dns_server_stop(struct dns_server *s)
{
	uv_close((uv_handle_t *)&s->udp, NULL);
}

void dns_server_set(struct dns_server *s, const char *name, enum dns_type type, uint32_t ttl,
		    const char *a, const char *b)
{
	size_t i = 0;

	while (i < DNS_SERVER_ROWS && s->rows[i].name &&
	       (strcmp(s->rows[i].name, name) != 0 || s->rows[i].type != type))
		i++;
	assert_true(i < DNS_SERVER_ROWS);
	s->rows[i] = (struct dns_row){name, type, ttl, {a, a ? b : NULL}};
}
