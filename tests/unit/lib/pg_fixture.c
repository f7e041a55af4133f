/* A private PostgreSQL for tests. */
#include "tests/unit/lib/pg_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOTS = 8, WAIT_STEPS = 3000, STEP_US = 10000 };

static struct {
	char bin[128];
	char dir[64];
	pid_t owner; /* the process that made it: children must not end it */
	pid_t postmaster;
	unsigned databases;
	char conninfo[SLOTS][160];
} server;

/* Runs a program and waits for it; whether it ended well. */
static bool run(const char *const argv[])
{
	int status = -1;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ) != 0)
		return false;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void drop_root(void)
{
	const struct passwd *p;

	if (geteuid() != 0)
		return;
	p = getpwnam("postgres");
	if (!p)
		p = getpwnam("nobody");
	if (!p || setgroups(0, NULL) < 0 || setgid(p->pw_gid) < 0 || setuid(p->pw_uid) < 0)
		_exit(126);
}

static void to_log(void)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/log", server.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(126);
}

/* Runs a program of PostgreSQL; output to the log, or to out. */
static pid_t spawn(int out, char *const argv[])
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	drop_root();
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	to_log();
	if (out >= 0)
		dup2(out, 1);
	execvp(argv[0], argv);
	_exit(127);
}

static bool ended_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void program(char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", server.bin, name);
}

static void find_bin(void)
{
	glob_t g;

	assert_int_equal(glob("/usr/lib/postgresql/*/bin", 0, NULL, &g), 0);
	snprintf(server.bin, sizeof(server.bin), "%s", g.gl_pathv[g.gl_pathc - 1]);
	globfree(&g);
}

static void launch(void)
{
	char postgres[160], data[96];
	char *argv[] = {postgres,
			(char *)(uintptr_t) "-D",
			data,
			(char *)(uintptr_t) "-k",
			server.dir,
			(char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "listen_addresses=",
			(char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "fsync=off",
			(char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "max_connections=100",
			(char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "shared_buffers=32MB",
			NULL};

	program(postgres, sizeof(postgres), "postgres");
	snprintf(data, sizeof(data), "%s/data", server.dir);
	server.postmaster = spawn(-1, argv);
	assert_true(server.postmaster > 0);
}

static bool answers(void)
{
	char ready[160];
	char *argv[] = {ready, (char *)(uintptr_t) "-q", (char *)(uintptr_t) "-h", server.dir,
			NULL};

	program(ready, sizeof(ready), "pg_isready");
	return ended_well(spawn(-1, argv));
}

/* After a crash the old backends must be gone before a new server may start. */
static void wait_for_server(void)
{
	for (int i = 0; i < WAIT_STEPS; i++) {
		if (answers())
			return;
		if (waitpid(server.postmaster, NULL, WNOHANG) == server.postmaster)
			launch();
		usleep(STEP_US);
	}
	fail_msg("PostgreSQL did not start: see %s/log", server.dir);
}

static void end_server(void)
{
	const char *const argv[] = {"rm", "-rf", server.dir, NULL};

	if (server.owner != getpid() || !server.postmaster)
		return;
	kill(server.postmaster, SIGCONT);
	kill(server.postmaster, SIGQUIT);
	waitpid(server.postmaster, NULL, 0);
	if (!run(argv))
		fprintf(stderr, "%s was not removed\n", server.dir);
}

void pg_fixture_start(void)
{
	char initdb[160], data[96];
	char *argv[] = {initdb,
			(char *)(uintptr_t) "-D",
			data,
			(char *)(uintptr_t) "-U",
			(char *)(uintptr_t) "test",
			(char *)(uintptr_t) "-A",
			(char *)(uintptr_t) "trust",
			(char *)(uintptr_t) "-N",
			(char *)(uintptr_t) "-E",
			(char *)(uintptr_t) "UTF8",
			(char *)(uintptr_t) "--no-locale",
			NULL};

	if (server.postmaster)
		return;
	find_bin();
	snprintf(server.dir, sizeof(server.dir), "/tmp/cardea-pg-XXXXXX");
	assert_non_null(mkdtemp(server.dir));
	assert_int_equal(chmod(server.dir, 0777), 0);
	snprintf(data, sizeof(data), "%s/data", server.dir);
	program(initdb, sizeof(initdb), "initdb");
	assert_true(ended_well(spawn(-1, argv)));
	server.owner = getpid();
	launch();
	atexit(end_server);
	wait_for_server();
}

static char *read_all(int fd)
{
	size_t len = 0, cap = 4096;
	char *text = malloc(cap), *bigger;
	ssize_t n;

	assert_non_null(text);
	while ((n = read(fd, text + len, cap - len - 1)) > 0) {
		len += (size_t)n;
		if (cap - len > 1)
			continue;
		cap *= 2;
		bigger = realloc(text, cap);
		assert_non_null(bigger);
		text = bigger;
	}
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len] = '\0';
	return text;
}

char *pg_fixture_sql(const char *conninfo, const char *sql)
{
	char psql[160];
	char *argv[] = {psql,
			(char *)(uintptr_t) "-qtAX",
			(char *)(uintptr_t) "-v",
			(char *)(uintptr_t) "ON_ERROR_STOP=1",
			(char *)(uintptr_t) "-d",
			(char *)(uintptr_t)conninfo,
			(char *)(uintptr_t) "-c",
			(char *)(uintptr_t)sql,
			NULL};
	int ends[2];
	char *text;
	pid_t pid;

	program(psql, sizeof(psql), "psql");
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = spawn(ends[1], argv);
	close(ends[1]);
	text = read_all(ends[0]);
	close(ends[0]);
	if (!ended_well(pid))
		fail_msg("psql refused (see %s/log): %s", server.dir, sql);
	return text;
}

const char *pg_fixture_database(unsigned slot)
{
	char sql[64];
	char *conninfo = server.conninfo[slot];

	assert_true(slot < SLOTS);
	pg_fixture_start();
	snprintf(conninfo, sizeof(server.conninfo[0]), "host=%s user=test dbname=postgres",
		 server.dir);
	snprintf(sql, sizeof(sql), "CREATE DATABASE t%u", ++server.databases);
	free(pg_fixture_sql(conninfo, sql));
	snprintf(conninfo, sizeof(server.conninfo[0]), "host=%s user=test dbname=t%u", server.dir,
		 server.databases);
	return conninfo;
}

void pg_fixture_crash(void)
{
	kill(server.postmaster, SIGKILL);
	waitpid(server.postmaster, NULL, 0);
}

void pg_fixture_restart(void)
{
	launch();
	wait_for_server();
}

void pg_fixture_hang(bool hang)
{
	char parent[16];
	/* Backends are children of the postmaster. */
	const char *const argv[] = {"pkill", hang ? "-STOP" : "-CONT", "-P", parent, NULL};

	snprintf(parent, sizeof(parent), "%d", (int)server.postmaster);
	kill(server.postmaster, hang ? SIGSTOP : SIGCONT);
	if (!run(argv))
		fail_msg("no backends to signal");
}

bool pg_fixture_disk_has(const char *conninfo, const char *needle)
{
	char folder[sizeof(server.dir) + 8];
	const char *const argv[] = {"grep", "-rqaF", "--", needle, folder, NULL};

	free(pg_fixture_sql(conninfo, "CHECKPOINT"));
	snprintf(folder, sizeof(folder), "%s/data", server.dir);
	return run(argv);
}
