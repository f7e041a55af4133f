#include "data-plane/proxy/stream_account.h"

#include "common/core/clock.h"

/* As nginx has them for streams, and for a client that has left. */
static const unsigned statuses[STREAM_OUTCOMES] = {
	[STREAM_SERVED] = 200,	    [STREAM_BROKEN] = 200, [STREAM_NO_ROUTE] = 404,
	[STREAM_NO_UPSTREAM] = 502, [STREAM_LEFT] = 499,
};

static void write_line(const struct stream_options *o, const struct stream_facts *f, uint64_t now)
{
	const struct access_entry e = {
		.client = &f->client,
		.peer = &f->peer,
		.stream = f->protocol ? f->protocol : "tcp",
		.sni = f->sni,
		.route = f->route,
		.service = f->service,
		.tls = f->tls,
		.status = statuses[f->outcome],
		.aborted = f->outcome == STREAM_BROKEN,
		.bytes_in = f->bytes_in,
		.bytes_out = f->bytes_out,
		.total_us = (now - f->started_ns) / 1000,
		.upstream = f->tries > 0 ? &f->upstream : NULL,
		.upstream_us = f->connected_ns ? (f->connected_ns - f->asked_ns) / 1000 : 0,
		.tries = f->tries,
	};

	access_log_write(o->edge->log, o->number, &e);
}

void stream_account(const struct stream_options *o, const struct stream_facts *f)
{
	uint64_t now = clock_mono_ns();
	const struct route_outcome q = {
		.status = statuses[f->outcome],
		.from_upstream = f->connected_ns != 0,
		.bytes_in = f->bytes_in,
		.bytes_out = f->bytes_out,
		.total_ms = (double)(now - f->started_ns) / 1e6,
	};

	stats_stream(o->stats, f->outcome);
	stats_bytes(o->stats, f->bytes_in, f->bytes_out);
	route_stats_add_stream(o->routes, f->stats, &q);
	if (o->edge->log)
		write_line(o, f, now);
}
