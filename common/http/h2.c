/* The incoming half of an HTTP/2 connection.
 *
 * Happy path: h2_feed -> guard -> nghttp2 -> on_begin, on_head, on_data, on_end.
 * Failure paths:
 *  - a limit of the guard, a head over 4x the limit: h2_break, GOAWAY(ENHANCE_YOUR_CALM), feed -1
 *  - a head over the limits: stream->too_large, the owner answers 431
 *  - a protocol error: nghttp2 resets the stream (on_close) or queues GOAWAY (h2_finished) */
#include "common/http/h2.h"

#include <stdlib.h>

#include "common/http/h2_internal.h"
#include "common/http/h2_mem.h"

enum {
	FIELD_DEFAULT = 16 << 10,
	HEAD_DEFAULT = 32 << 10,
	FIELDS_DEFAULT = 100,
	STREAMS_DEFAULT = 128,
	STREAMS_UNKNOWN = 100, /* RFC 9113 6.5.2: no peer should take fewer */
	FIELD_COST = 32,       /* RFC 9113 6.5.2 */
	ACKS_QUEUED = 1000,
	TRAILERS_MAX = 8 << 10,
	TRAILER_FIELDS = 32,
};

struct h2_stream *h2_find(struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->session, id);
}

void h2_reject(struct h2 *h, const char *reason)
{
	if (h->o.events->on_rejected)
		h->o.events->on_rejected(h, reason, h->o.arg);
}

void h2_break(struct h2 *h, const char *reason, uint32_t code)
{
	if (h->broken)
		return;
	h->broken = true;
	h->broken_by = reason;
	h2_reject(h, reason);
	if (nghttp2_session_terminate_session(h->session, code) != 0)
		h->broken_by = "memory";
}

/* --- heads --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct h2 *h = user_data;
	int32_t id = frame->hd.stream_id;
	struct h2_stream *s;

	h->current = NULL;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (!h->o.server || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
		h->current = h2_find(h, id);
		return 0;
	}
	if (id <= h->last_id) { /* 1.52 would serve it: H2-14 */
		h2_break(h, "H2-14", NGHTTP2_PROTOCOL_ERROR);
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	h->last_id = id;
	s = h->o.events->on_begin(h, h->o.arg);
	if (!s)
		return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
						 NGHTTP2_REFUSED_STREAM);
	s->id = id;
	h->open++;
	h->current = s;
	return nghttp2_session_set_stream_user_data(session, id, s);
}

static struct str rc_str(nghttp2_rcbuf *rc)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(rc);

	return (struct str){(const char *)v.base, v.len};
}

/* Entries of HPACK's static table live as long as the library. */
static int keep(struct h2_stream *s, nghttp2_rcbuf *rc, struct str *out)
{
	struct str text = rc_str(rc);

	*out = nghttp2_rcbuf_is_static(rc) ? text : arena_str(s->arena, text);
	return out->ptr ? 0 : -1;
}

static void set_status(struct h2_stream *s, struct str value)
{
	uint64_t n;

	if (str_u64(value, &n) == 0 && n < 1000)
		s->status = (unsigned)n;
}

static void set_pseudo(struct h2_stream *s, struct str name, struct str value)
{
	if (str_eq(name, STR(":method")))
		s->method = value;
	else if (str_eq(name, STR(":scheme")))
		s->scheme = value;
	else if (str_eq(name, STR(":authority")))
		s->authority = value;
	else if (str_eq(name, STR(":path")))
		s->path = value;
	else if (str_eq(name, STR(":status")))
		set_status(s, value);
}

static int add_field(struct h2_stream *s, struct http_fields *to, nghttp2_rcbuf *name,
		     nghttp2_rcbuf *value)
{
	struct str n, v;
	uint64_t length;

	if (keep(s, name, &n) != 0 || keep(s, value, &v) != 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (n.ptr[0] == ':') {
		set_pseudo(s, n, v);
		return 0;
	}
	if (to == &s->fields && str_eq(n, STR("content-length")) && str_u64(v, &length) == 0 &&
	    length <= INT64_MAX)
		s->content_length = (int64_t)length;
	return http_fields_add(to, s->arena, n, v) == 0 ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int add_trailer(struct h2 *h, struct h2_stream *s, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
	if (s->block > TRAILERS_MAX || s->count > TRAILER_FIELDS) {
		h2_reject(h, "trailers");
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return add_field(s, &s->trailers, name, value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
		     nghttp2_rcbuf *value, uint8_t flags, void *user_data)
{
	struct h2 *h = user_data;
	struct h2_stream *s = h->current;
	size_t size = rc_str(name).len + rc_str(value).len;

	(void)session;
	(void)frame;
	(void)flags;
	if (!s)
		return 0;
	s->block += size + FIELD_COST;
	s->held += size + FIELD_COST;
	h->held += size + FIELD_COST;
	s->count += rc_str(name).ptr[0] != ':';
	if (s->head_done)
		return add_trailer(h, s, name, value);
	if (s->block > 4 * h->o.head) {
		h2_break(h, "H2-04", NGHTTP2_ENHANCE_YOUR_CALM);
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (h->held > H2_HELD_MAX) {
		h2_reject(h, "connection_memory");
		h2_reset(h, s, NGHTTP2_ENHANCE_YOUR_CALM);
		return 0;
	}
	if (s->block > h->o.head)
		s->too_large = "head";
	else if (size > h->o.field)
		s->too_large = "field";
	else if (s->count > h->o.fields)
		s->too_large = "fields";
	return s->too_large ? 0 : add_field(s, &s->fields, name, value);
}

static void remote_end(struct h2 *h, struct h2_stream *s)
{
	s->remote_ended = true;
	h->o.events->on_end(h, s, h->o.arg);
}

/* The stream is the owner's again. */
static void forget(struct h2 *h, struct h2_stream *s)
{
	if (h->current == s)
		h->current = NULL;
	if (s->unconsumed > 0 && nghttp2_session_consume_connection(h->session, s->unconsumed) != 0)
		h2_break(h, "memory", NGHTTP2_INTERNAL_ERROR);
	s->unconsumed = 0;
	s->closed = true;
	h->held -= s->held;
	h->open--;
	list_remove(&s->draining);
	nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
}

void h2_detach(struct h2 *h, struct h2_stream *s)
{
	if (s->closed)
		return;
	/* nghttp2 sends nothing more of a stream that is to be reset, its head neither. */
	if (h->o.server)
		h2_reset(h, s, NGHTTP2_INTERNAL_ERROR);
	forget(h, s);
}

static void interim_received(struct h2 *h, struct h2_stream *s)
{
	int32_t id = s->id;

	if (h->o.events->on_interim)
		h->o.events->on_interim(h, s, h->o.arg);
	s = h2_find(h, id); /* it may have been detached */
	if (!s)
		return;
	s->fields.count = 0;
	s->content_length = -1;
}

static void head_received(struct h2 *h, struct h2_stream *s)
{
	s->count = 0;
	s->block = 0;
	if (!h->o.server && s->status >= 100 && s->status < 200) {
		interim_received(h, s);
		return;
	}
	s->head_done = true;
	h->o.events->on_head(h, s, h->o.arg);
}

static void headers_received(struct h2 *h, const nghttp2_frame *frame)
{
	struct h2_stream *s = h->current;

	if (!s || s->own_reset) {
		h->current = NULL;
		return;
	}
	s->remote_ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	if (!s->head_done)
		head_received(h, s);
	if (!h->current) /* detached */
		return;
	h->current = NULL;
	if (s->remote_ended && s->head_done && !s->own_reset)
		remote_end(h, s);
}

static void data_received(struct h2 *h, const nghttp2_frame *frame)
{
	struct h2_stream *s;

	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return;
	s = h2_find(h, frame->hd.stream_id);
	if (s && !s->own_reset)
		remote_end(h, s);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct h2 *h = user_data;

	(void)session;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		headers_received(h, frame);
		break;
	case NGHTTP2_DATA:
		data_received(h, frame);
		break;
	case NGHTTP2_SETTINGS:
		h->settings = h->settings || !(frame->hd.flags & NGHTTP2_FLAG_ACK);
		break;
	case NGHTTP2_PING:
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && h->o.events->on_pong)
			h->o.events->on_pong(h, h->o.arg);
		break;
	case NGHTTP2_GOAWAY:
		if (h->o.events->on_goaway)
			h->o.events->on_goaway(h, frame->goaway.error_code, h->o.arg);
		break;
	default:
		break;
	}
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
			 size_t len, void *user_data)
{
	struct h2 *h = user_data;
	struct h2_stream *s = h2_find(h, id);

	(void)flags;
	if (!s || s->own_reset)
		return nghttp2_session_consume(session, id, len);
	s->unconsumed += len;
	h->o.events->on_data(h, s, (struct str){(const char *)data, len}, h->o.arg);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user_data)
{
	struct h2 *h = user_data;
	struct h2_stream *s = h2_find(h, id);

	(void)session;
	if (!s)
		return 0;
	forget(h, s);
	h->o.events->on_close(h, s, code, h->o.arg);
	return 0;
}

/* --- the session --- */

static int new_session(struct h2 *h, nghttp2_session_callbacks *callbacks, nghttp2_option *option)
{
	nghttp2_mem mem = {0};
	nghttp2_mem *with = h->o.mem ? &mem : NULL;

	if (with)
		mem = h2_mem_hooks(h->o.mem);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	h2_out_callbacks(callbacks);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_max_outbound_ack(option, ACKS_QUEUED);
	/* Closed streams are kept for the old priority scheme only, which is not used here. */
	nghttp2_option_set_no_closed_streams(option, 1);
	if (h->o.patient)
		nghttp2_option_set_peer_max_concurrent_streams(option, 1);
	if (h->o.server)
		return nghttp2_session_server_new3(&h->session, callbacks, h, option, with);
	return nghttp2_session_client_new3(&h->session, callbacks, h, option, with);
}

static int make_session(struct h2 *h)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	int rv = NGHTTP2_ERR_NOMEM;

	if (nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0)
		rv = new_session(h, callbacks, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return rv;
}

static int announce(struct h2 *h)
{
	nghttp2_settings_entry entries[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->o.window},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->o.head},
		{h->o.server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
			     : NGHTTP2_SETTINGS_ENABLE_PUSH,
		 h->o.server ? h->o.streams : 0},
	};
	int rv = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, entries, 3);

	if (rv == 0)
		rv = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
							   H2_CONNECTION_WINDOW);
	return rv;
}

static void set_defaults(struct h2_options *o)
{
	if (o->field == 0)
		o->field = FIELD_DEFAULT;
	if (o->head == 0)
		o->head = HEAD_DEFAULT;
	if (o->fields == 0)
		o->fields = FIELDS_DEFAULT;
	if (o->streams == 0)
		o->streams = STREAMS_DEFAULT;
	if (o->window == 0)
		o->window = H2_WINDOW;
}

int h2_create(struct h2 **out, const struct h2_options *o, uint64_t now_ms, struct err *e)
{
	struct h2 *h = calloc(1, sizeof(*h));
	int rv;

	if (!h)
		return err_memory(e, "HTTP/2 session");
	h->o = *o;
	set_defaults(&h->o);
	list_init(&h->draining);
	h->now_ms = now_ms;
	h2_guard_init(&h->guard, o->server, now_ms);
	rv = make_session(h);
	if (rv == 0)
		rv = announce(h);
	if (rv != 0) {
		h2_free(h);
		return err_set(e, ERR_MEMORY, "HTTP/2 session: %s", nghttp2_strerror(rv));
	}
	*out = h;
	return 0;
}

void h2_free(struct h2 *h)
{
	if (!h)
		return;
	list_for_each_safe(it, &h->draining) list_remove(it);
	nghttp2_session_del(h->session);
	free(h);
}

static int broken(const struct h2 *h, struct err *e)
{
	return err_set(e, ERR_INVALID, "HTTP/2 connection ended by this side: %s", h->broken_by);
}

/* nghttp2 gave up on the bytes. */
static int feed_failed(struct h2 *h, int rv, struct err *e)
{
	if (h->broken)
		return broken(h, e);
	h->broken = true;
	h->broken_by = nghttp2_strerror(rv);
	h2_reject(h, rv == NGHTTP2_ERR_FLOODED ? "H2-06" : "H2-14");
	/* The peer may not speak HTTP/2 at all: nothing can be said to it. */
	if (rv != NGHTTP2_ERR_BAD_CLIENT_MAGIC)
		nghttp2_session_terminate_session(h->session, rv == NGHTTP2_ERR_FLOODED
								      ? NGHTTP2_ENHANCE_YOUR_CALM
								      : NGHTTP2_INTERNAL_ERROR);
	return broken(h, e);
}

int h2_feed(struct h2 *h, struct str bytes, uint64_t now_ms, struct err *e)
{
	const char *row;
	ssize_t n;

	if (h->broken)
		return broken(h, e);
	h->now_ms = now_ms;
	row = h2_guard_feed(&h->guard, bytes, now_ms);
	if (row) {
		h2_break(h, row, NGHTTP2_ENHANCE_YOUR_CALM);
		return broken(h, e);
	}
	n = nghttp2_session_mem_recv(h->session, (const uint8_t *)bytes.ptr, bytes.len);
	if (n < 0)
		return feed_failed(h, (int)n, e);
	return h->broken ? broken(h, e) : 0;
}

bool h2_finished(const struct h2 *h)
{
	return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

unsigned h2_open_streams(const struct h2 *h)
{
	return h->open;
}

unsigned h2_room(const struct h2 *h)
{
	uint32_t max = STREAMS_UNKNOWN;

	if (h->settings)
		max = nghttp2_session_get_remote_settings(h->session,
							  NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	if (h->broken || !nghttp2_session_check_request_allowed(h->session) || h->open >= max)
		return 0;
	return max - h->open;
}
