/* http/h1_parse against the reference parser of tests/model/http1.py: the same messages and the
 * same end for generated requests. H1_MODEL_CASES says how many (default below), H1_MODEL_SEED
 * which. */
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/http/h1_parse.h"

#define PYTHON "/usr/bin/python3"

enum { SIZE_MAX_OF_CASE = 1 << 16, SHOWN_MAX = 10 };

struct reading {
	struct h1_parser parser;
	struct arena arena;
	struct http_request request;
	struct buf text; /* as the reference has it, without its last line */
	struct buf body;
	struct buf head; /* of the message that is read; empty: none */
};

static void add(struct buf *out, struct str s)
{
	assert_int_equal(buf_add_str(out, s, NULL), 0);
}

static void add_fields(struct buf *out, const struct http_fields *f)
{
	for (size_t i = 0; i < f->count; i++) {
		add(out, f->items[i].name);
		add(out, STR(": "));
		add(out, f->items[i].value);
		add(out, STR("\n"));
	}
}

static struct str or_none(struct str s)
{
	return s.ptr ? s : STR("-");
}

static void on_head(struct reading *r)
{
	const struct http_request *q = &r->request;
	const struct str parts[] = {q->method, q->target, or_none(q->authority), or_none(q->host)};

	add(&r->head, STR("HEAD "));
	for (size_t i = 0; i < array_len(parts); i++) {
		add(&r->head, parts[i]);
		add(&r->head, STR(" "));
	}
	assert_int_equal(buf_addf(&r->head, NULL, "1.%d expects=%d close=%d upgrade=%d\n",
				  q->version != HTTP_10, q->expect_continue, r->parser.close,
				  r->parser.upgrade.ptr != NULL),
			 0);
	add_fields(&r->head, &q->fields);
}

static void add_message(struct reading *r)
{
	add(&r->text, buf_str(&r->head));
	assert_int_equal(buf_addf(&r->text, NULL, "BODY %zu\n", r->body.len), 0);
	add(&r->text, buf_str(&r->body));
	add(&r->text, STR("\n"));
	buf_clear(&r->head);
	buf_clear(&r->body);
}

static void on_end(struct reading *r)
{
	add_message(r);
	add_fields(&r->text, &r->parser.trailers);
	add(&r->text, STR("DONE\n"));
	arena_reset(&r->arena);
	h1_parser_start(&r->parser, &r->arena, &r->request);
}

/* The status of the end, 0: more may come. */
static unsigned read_all(struct reading *r, struct str in)
{
	enum h1_event event;
	struct str body;

	do {
		event = h1_parse(&r->parser, &in, &body);
		if (event == H1_HEAD)
			on_head(r);
		else if (event == H1_BODY)
			add(&r->body, body);
		else if (event == H1_END)
			on_end(r);
	} while (event != H1_MORE && event != H1_ERROR);
	if (r->head.len > 0)
		add_message(r);
	return event == H1_ERROR ? r->parser.status : 0;
}

/* Whether the reference's last line ("END more", "END 400 501") has this status. */
static bool ends_with(struct str last, unsigned status)
{
	struct str word;
	char text[16];

	snprintf(text, sizeof(text), status ? "%u" : "more", status);
	while (str_split(&last, ' ', &word))
		if (str_eq(word, str_from(text)))
			return true;
	return false;
}

static bool agree(struct str input, struct str verdict)
{
	struct reading r = {.request = {.content_length = -1}};
	size_t last = verdict.len;
	unsigned status;
	bool same;

	while (last > 0 && verdict.ptr[last - 1] != '\n')
		last--;
	arena_init(&r.arena, 0);
	h1_parser_init(&r.parser, NULL, STR("http"));
	h1_parser_start(&r.parser, &r.arena, &r.request);
	status = read_all(&r, input);
	same = str_eq(buf_str(&r.text), str_sub(verdict, 0, last)) &&
	       ends_with(str_sub(verdict, last, verdict.len), status);
	if (!same)
		print_error("--- input\n%.*s\n--- reference\n%.*s\n--- parser\n%.*sEND %u %s\n",
			    (int)input.len, input.ptr, (int)verdict.len, verdict.ptr,
			    (int)r.text.len, r.text.len ? r.text.data : "", status,
			    status ? r.parser.reason : "");
	h1_parser_deinit(&r.parser);
	arena_deinit(&r.arena);
	buf_deinit(&r.text);
	buf_deinit(&r.body);
	buf_deinit(&r.head);
	return same;
}

/* What the reference writes; *pid is to be waited for. */
static FILE *start_reference(const char *cases, const char *seed, pid_t *pid)
{
	const char *const args[] = {PYTHON, "tests/model/http1.py", cases, seed, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO), 0);
	assert_int_equal(posix_spawn_file_actions_addclose(&actions, ends[0]), 0);
	assert_int_equal(posix_spawn_file_actions_addclose(&actions, ends[1]), 0);
	assert_int_equal(
		posix_spawn(pid, PYTHON, &actions, NULL, (char **)(uintptr_t)args, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	return fdopen(ends[0], "r");
}

static const char *setting(const char *name, const char *standard)
{
	const char *text = getenv(name);

	return text ? text : standard;
}

/* Of the next case: a line "INPUT VERDICT". */
static void read_sizes(FILE *reference, uint64_t *input, uint64_t *verdict)
{
	char line[64];
	struct str rest, word = STR_NONE;

	assert_non_null(fgets(line, sizeof(line), reference));
	rest = (struct str){line, strcspn(line, "\n")};
	assert_true(str_split(&rest, ' ', &word));
	assert_int_equal(str_u64(word, input), 0);
	assert_int_equal(str_u64(rest, verdict), 0);
}

static void test_model(void **state)
{
	const char *cases = setting("H1_MODEL_CASES", "20000");
	static char bytes[2 * SIZE_MAX_OF_CASE];
	unsigned long count = strtoul(cases, NULL, 10), bad = 0;
	uint64_t input, verdict;
	FILE *reference;
	int status;
	pid_t pid;

	(void)state;
	reference = start_reference(cases, setting("H1_MODEL_SEED", "1"), &pid);
	assert_non_null(reference);
	assert_true(count > 0);
	for (unsigned long i = 0; i < count && bad < SHOWN_MAX; i++) {
		read_sizes(reference, &input, &verdict);
		assert_true(input < SIZE_MAX_OF_CASE && verdict < SIZE_MAX_OF_CASE);
		assert_int_equal(fread(bytes, 1, input + verdict, reference), input + verdict);
		bad += !agree((struct str){bytes, input}, (struct str){bytes + input, verdict});
	}
	assert_int_equal(bad, 0);
	fclose(reference);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
