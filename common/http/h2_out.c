/* The outgoing half of an HTTP/2 connection: heads, bodies under flow control, resets.
 *
 * Happy path: h2_respond, h2_write* -> h2_emit -> nghttp2 asks read_body -> send_body copies the
 * bytes once, from the stream's queue into the caller's buffer.
 * Failure paths: the stream was closed meanwhile: writing is ignored; out of memory: h2_emit -1. */
#include "common/http/h2_internal.h"

#include <stdlib.h>

enum {
	FRAME_HEADER = 9,
	NV_ON_STACK = 48,
	QUEUE_KEPT = 16 << 10, /* memory that an empty queue keeps for the next body */
};

/* --- nghttp2 takes --- */

static int submit_trailing(struct h2 *h, struct h2_stream *s);

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
			 uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	struct h2_stream *s = h2_find(user_data, id);
	size_t left = s ? h2_queued(s) : 0;
	size_t n = left < length ? left : length;

	(void)session;
	(void)source;
	(void)buf;
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (n == 0 && !s->last) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (!s->last || n < left)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (s->trailing) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (submit_trailing(user_data, s) != 0)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

static void queue_taken(struct h2 *h, struct h2_stream *s, size_t n)
{
	s->out_at += n;
	s->taken += n;
	if (s->over_high && h2_queued(s) < H2_STREAM_HIGH / 2) {
		s->over_high = false;
		list_remove(&s->draining);
		list_push(&h->draining, &s->draining);
	}
	if (s->out_at < s->out.len)
		return;
	s->out_at = 0;
	if (s->out.cap > QUEUE_KEPT)
		buf_deinit(&s->out);
	else
		buf_clear(&s->out);
}

static int send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
		     size_t length, nghttp2_data_source *source, void *user_data)
{
	struct h2 *h = user_data;
	struct h2_stream *s = h2_find(h, frame->hd.stream_id);

	(void)session;
	(void)source;
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (buf_reserve(h->out, FRAME_HEADER + length, NULL) != 0 ||
	    buf_add(h->out, framehd, FRAME_HEADER, NULL) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (length > 0 && buf_add(h->out, s->out.data + s->out_at, length, NULL) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	queue_taken(h, s, length);
	h2_guard_data_sent(&h->guard);
	return h->out->len >= h->out_max ? NGHTTP2_ERR_PAUSE : 0;
}

/* Resets that are not the peer's fault. */
static bool is_our_affair(uint32_t code)
{
	return code == NGHTTP2_NO_ERROR || code == NGHTTP2_INTERNAL_ERROR || code == NGHTTP2_CANCEL;
}

static void reset_was_sent(struct h2 *h, const nghttp2_frame *frame)
{
	uint32_t code = frame->rst_stream.error_code;
	const char *row;

	if (!h->o.server || is_our_affair(code))
		return;
	h2_reject(h, nghttp2_http2_strerror(code));
	row = h2_guard_reset_sent(&h->guard, h->now_ms);
	if (row)
		h2_break(h, row, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void end_was_sent(struct h2 *h, int32_t id)
{
	struct h2_stream *s = h2_find(h, id);

	if (!s)
		return;
	s->local_ended = true;
	if (s->reset_after && !s->remote_ended)
		h2_reset(h, s, NGHTTP2_NO_ERROR);
}

static void head_was_sent(struct h2 *h, int32_t id)
{
	struct h2_stream *s = h2_find(h, id);

	if (s)
		s->head_sent = true;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
	struct h2 *h = user_data;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS && !h->o.server)
		head_was_sent(h, frame->hd.stream_id);
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		reset_was_sent(h, frame);
	else if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != 0 && !h->broken)
		h2_reject(h, nghttp2_http2_strerror(frame->goaway.error_code));
	if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		end_was_sent(h, frame->hd.stream_id);
	return 0;
}

void h2_out_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_send_data_callback(callbacks, send_body);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
}

static void tell_drained(struct h2 *h)
{
	struct link *it;

	while ((it = list_first(&h->draining)) != NULL) {
		struct h2_stream *s = container_of(it, struct h2_stream, draining);

		list_remove(it);
		h->o.events->on_drain(h, s, h->o.arg);
	}
}

int h2_emit(struct h2 *h, struct buf *out, size_t max, struct err *e)
{
	const uint8_t *bytes;
	ssize_t n = 0;
	int rc = 0;

	if (h->mute)
		return err_memory(e, "HTTP/2 output");
	h->out = out;
	h->out_max = out->len + max;
	while (rc == 0 && out->len < h->out_max) {
		n = nghttp2_session_mem_send(h->session, &bytes);
		if (n <= 0)
			break;
		rc = buf_add(out, bytes, (size_t)n, e);
	}
	h->out = NULL;
	tell_drained(h);
	if (n < 0)
		rc = err_set(e, ERR_MEMORY, "HTTP/2 output: %s", nghttp2_strerror((int)n));
	return rc;
}

bool h2_wants_write(const struct h2 *h)
{
	return nghttp2_session_want_write(h->session) != 0;
}

/* --- the owner gives --- */

void h2_stream_init(struct h2_stream *s, struct arena *arena)
{
	struct buf kept = s->out;

	memset(s, 0, sizeof(*s));
	s->out = kept;
	buf_clear(&s->out);
	s->arena = arena;
	s->content_length = -1;
	list_init(&s->draining);
}

void h2_stream_deinit(struct h2_stream *s)
{
	buf_deinit(&s->out);
}

size_t h2_queued(const struct h2_stream *s)
{
	return s->out.len - s->out_at;
}

/* nghttp2 declares the bytes of its inputs as not const, and only reads them. */
static uint8_t *nv_bytes(struct str s)
{
	return (uint8_t *)(uintptr_t)(s.ptr ? s.ptr : "");
}

static void fill_nv(struct h2 *h, nghttp2_nv *nv, const struct http_fields *fields, uint8_t flags)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct http_field *f = &fields->items[i];
		bool worth = h2_index_worth(&h->index, f->name, f->value);

		nv[i] = (nghttp2_nv){nv_bytes(f->name), nv_bytes(f->value), f->name.len,
				     f->value.len,
				     worth ? flags : (uint8_t)(flags | NGHTTP2_NV_FLAG_NO_INDEX)};
	}
}

/* The list as nghttp2 wants it: in `small` when it fits, else in the arena. */
static nghttp2_nv *to_nv(struct h2 *h, struct h2_stream *s, const struct http_fields *fields,
			 nghttp2_nv *small, uint8_t flags)
{
	nghttp2_nv *nv = small;

	if (fields->count > NV_ON_STACK)
		nv = arena_alloc(s->arena, fields->count * sizeof(*nv));
	if (nv)
		fill_nv(h, nv, fields, flags);
	return nv;
}

static int failed(struct err *e, const char *what, int rv)
{
	return err_set(e, rv == NGHTTP2_ERR_NOMEM ? ERR_MEMORY : ERR_UNAVAILABLE, "HTTP/2 %s: %s",
		       what, nghttp2_strerror(rv));
}

int h2_request(struct h2 *h, struct h2_stream *s, const struct http_fields *fields, bool end,
	       struct err *e)
{
	nghttp2_nv small[NV_ON_STACK];
	nghttp2_data_provider body = {.read_callback = read_body};
	nghttp2_nv *nv = to_nv(h, s, fields, small, NGHTTP2_NV_FLAG_NONE);
	int32_t id;

	if (!nv)
		return err_memory(e, "HTTP/2 request");
	id = nghttp2_submit_request(h->session, NULL, nv, fields->count, end ? NULL : &body, s);
	if (id < 0)
		return failed(e, "request", id);
	s->id = id;
	h->open++;
	return 0;
}

int h2_respond(struct h2 *h, struct h2_stream *s, const struct http_fields *fields, bool end,
	       struct err *e)
{
	nghttp2_nv small[NV_ON_STACK];
	nghttp2_data_provider body = {.read_callback = read_body};
	nghttp2_nv *nv;
	int rv;

	if (s->closed)
		return 0;
	nv = to_nv(h, s, fields, small,
		   NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
	if (!nv)
		return err_memory(e, "HTTP/2 response");
	rv = nghttp2_submit_response(h->session, s->id, nv, fields->count, end ? NULL : &body);
	return rv == 0 ? 0 : failed(e, "response", rv);
}

int h2_interim(struct h2 *h, struct h2_stream *s, const struct http_fields *fields, struct err *e)
{
	nghttp2_nv small[NV_ON_STACK];
	nghttp2_nv *nv;
	int rv;

	if (s->closed)
		return 0;
	nv = to_nv(h, s, fields, small, NGHTTP2_NV_FLAG_NONE);
	if (!nv)
		return err_memory(e, "HTTP/2 interim response");
	rv = nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL, nv, fields->count,
				    NULL);
	return rv == 0 ? 0 : failed(e, "interim response", rv);
}

static int resume(struct h2 *h, struct h2_stream *s, struct err *e)
{
	int rv;

	if (!s->deferred)
		return 0;
	s->deferred = false;
	rv = nghttp2_session_resume_data(h->session, s->id);
	return rv == 0 || rv == NGHTTP2_ERR_INVALID_ARGUMENT ? 0 : failed(e, "body", rv);
}

int h2_write(struct h2 *h, struct h2_stream *s, struct str bytes, bool last, bool *room,
	     struct err *e)
{
	if (s->closed || s->last) {
		*room = true;
		return 0;
	}
	/* What was taken makes way when it is the larger half: each byte moves at most once. */
	if (s->out_at > 0 && s->out_at >= s->out.len / 2) {
		buf_consume(&s->out, s->out_at);
		s->out_at = 0;
	}
	if (bytes.len > 0 && buf_add_str(&s->out, bytes, e) != 0)
		return -1;
	s->last = last;
	if (h2_queued(s) > H2_STREAM_HIGH)
		s->over_high = true;
	*room = !s->over_high;
	return resume(h, s, e);
}

static int submit_trailing(struct h2 *h, struct h2_stream *s)
{
	nghttp2_nv small[NV_ON_STACK];
	nghttp2_nv *nv = to_nv(h, s, s->trailing, small, NGHTTP2_NV_FLAG_NONE);

	if (!nv)
		return -1;
	return nghttp2_submit_trailer(h->session, s->id, nv, s->trailing->count);
}

static struct http_fields *copy_fields(struct arena *a, const struct http_fields *from)
{
	struct http_fields *to = arena_alloc(a, sizeof(*to));

	for (size_t i = 0; to && i < from->count; i++) {
		struct str name = arena_str(a, from->items[i].name);
		struct str value = arena_str(a, from->items[i].value);

		if (!name.ptr || !value.ptr || http_fields_add(to, a, name, value) != 0)
			return NULL;
	}
	return to;
}

int h2_trailers(struct h2 *h, struct h2_stream *s, const struct http_fields *fields, struct err *e)
{
	if (s->closed || s->last)
		return 0;
	s->trailing = copy_fields(s->arena, fields);
	if (!s->trailing)
		return err_memory(e, "HTTP/2 trailers");
	s->last = true;
	return resume(h, s, e);
}

void h2_consumed(struct h2 *h, struct h2_stream *s, size_t n)
{
	if (s->closed)
		return;
	if (n > s->unconsumed)
		n = s->unconsumed;
	s->unconsumed -= n;
	if (n > 0 && nghttp2_session_consume(h->session, s->id, n) != 0)
		h2_break(h, "memory", NGHTTP2_INTERNAL_ERROR);
}

void h2_reset(struct h2 *h, struct h2_stream *s, uint32_t code)
{
	if (s->closed || s->own_reset)
		return;
	s->own_reset = true;
	if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code) == 0)
		return;
	h->mute = true;
	h2_break(h, "memory", NGHTTP2_INTERNAL_ERROR);
}

void h2_reset_after_end(struct h2 *h, struct h2_stream *s)
{
	s->reset_after = true;
	if (s->local_ended && !s->remote_ended)
		h2_reset(h, s, NGHTTP2_NO_ERROR);
}

/* --- the connection --- */

void h2_notice(struct h2 *h)
{
	if (nghttp2_submit_shutdown_notice(h->session) != 0)
		h2_break(h, "memory", NGHTTP2_INTERNAL_ERROR);
}

void h2_goaway(struct h2 *h)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);

	if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0))
		h2_break(h, "memory", NGHTTP2_INTERNAL_ERROR);
}

void h2_terminate(struct h2 *h, uint32_t code)
{
	if (nghttp2_session_terminate_session(h->session, code) != 0)
		h2_break(h, "memory", NGHTTP2_INTERNAL_ERROR);
}

void h2_ping(struct h2 *h)
{
	if (nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) != 0)
		h2_break(h, "memory", NGHTTP2_INTERNAL_ERROR);
}
