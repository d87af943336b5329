// SPDX-License-Identifier: GPL-2.0-only
/* Writes files completely or not at all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "migdev.h"
#include "output.h"
#include "vfio-mig.h"

#define TEMPORARY	".vfio-mig.XXXXXX"
#define ACL		"system.posix_acl_access"

/* The caller has closed standard output. */
static bool no_standard_output;

/* The file that a signal must remove. It changes only while signals are blocked. */
static char *temporary;

/* Signals that end a program and are no fault of the program itself. */
static const int deadly[] = {
	SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGPWR, SIGQUIT, SIGSTKFLT, SIGTERM, SIGUSR1,
	SIGUSR2, SIGVTALRM, SIGXCPU,
};

#define NR_DEADLY	(sizeof(deadly) / sizeof(*deadly))

static void on_signal(int nr)
{
	if (temporary)
		unlink(temporary);
	/* SA_RESETHAND: this ends the program as without a handler. */
	raise(nr);
}

static void block_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, before);
}

static void unblock_signals(const sigset_t *before)
{
	sigprocmask(SIG_SETMASK, before, NULL);
}

/*
 * A file that gets too large, and a pipe without a reader, are errors with a message
 * instead of signals. Signals that the caller ignores, as nohup does, stay ignored.
 */
static void catch_signals(void)
{
	struct sigaction now, catch = {
		.sa_handler = on_signal,
		.sa_flags = SA_RESETHAND | SA_NODEFER,
	};
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	for (i = 0; i < NR_DEADLY; i++)
		if (!sigaction(deadly[i], NULL, &now) &&
		    now.sa_handler != SIG_IGN)
			sigaction(deadly[i], &catch, NULL);
}

/*
 * If standard output is closed, a file that is opened must not take its place. So /dev/null
 * is opened for the other direction, and a use of it is an error.
 */
static void fill_standard_files(void)
{
	int fd;

	no_standard_output = fcntl(STDOUT_FILENO, F_GETFD) < 0;
	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			_exit(EXIT_FAILED);
}

/* Called before any file is opened. */
void output_init(void)
{
	fill_standard_files();
	catch_signals();
}

/*
 * Returns whether the file is standard output, as /dev/stdout is. Messages must not mix
 * with the data.
 */
static bool is_standard_output(const struct stat *st)
{
	struct stat out;

	return !S_ISCHR(st->st_mode) && !fstat(STDOUT_FILENO, &out) &&
	       out.st_dev == st->st_dev && out.st_ino == st->st_ino;
}

/* Returns whether the name leads to standard output, which is a substitute if it was closed. */
static bool is_closed(const char *name)
{
	static const char * const names[] = { "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (no_standard_output && !strcmp(name, names[i]))
			return true;
	return false;
}

static int not_for_terminals(const struct output *out)
{
	return isatty(out->fd) ?
	       usage("%s is a terminal: name a file, or use a pipe", out->name) :
	       EXIT_OK;
}

/* The data goes to standard output, and messages go to standard error. */
static int open_standard_output(struct output *out)
{
	out->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (out->fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return error_errno(-errno, "%s", out->name);
	/*
	 * A large pipe, so that reader and writer seldom wait for each other. This fails if
	 * the file is no pipe.
	 */
	fcntl(out->fd, F_SETPIPE_SZ, (int)PORTION);
	return not_for_terminals(out);
}

/* A device or a pipe cannot be renamed, so it is written directly. */
static int open_in_place(struct output *out)
{
	out->fd = open(out->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (out->fd < 0)
		return error_errno(-errno, "%s", out->name);
	fcntl(out->fd, F_SETPIPE_SZ, (int)PORTION);
	return not_for_terminals(out);
}

/* Names the temporary file, which is in the same directory so that it can be renamed. */
static char *beside(const char *path)
{
	const char *slash = strrchr(path, '/');
	int len = slash ? slash - path + 1 : 0;
	char *name;

	return asprintf(&name, "%.*s" TEMPORARY, len, path) < 0 ? NULL : name;
}

static int make_temporary(struct output *out)
{
	char *name = beside(out->path);
	sigset_t before;
	int ret = 0;

	if (!name)
		return error("%s: no memory", out->name);
	block_signals(&before);
	out->fd = mkostemp(name, O_CLOEXEC);
	if (out->fd < 0)
		ret = -errno;
	else
		temporary = name;
	unblock_signals(&before);
	if (!ret)
		return EXIT_OK;
	free(name);
	return error_errno(ret, "%s: a temporary file in its directory", out->name);
}

/*
 * Copies the access control list of the file that is replaced. Returns false if the mode's
 * bits for the group are not those of the file's group: with a list they limit its entries.
 */
static bool take_over_acl(int fd, const char *path)
{
	char acl[4096];
	ssize_t len;

	len = getxattr(path, ACL, acl, sizeof(acl));
	if (len >= 0)
		return !fsetxattr(fd, ACL, acl, len, 0);
	/* The new file can have a list of its directory. */
	if (errno == ENODATA)
		return !fremovexattr(fd, ACL) || errno == ENODATA;
	return errno == EOPNOTSUPP;
}

/*
 * A file that is replaced keeps its mode, its access control list and, if permitted, its
 * owner and group. The rights of another group are not for the user's own group.
 */
static void take_over(int fd, const char *path, const struct stat *st)
{
	mode_t mode = st->st_mode & 07777;

	if (fchown(fd, st->st_uid, st->st_gid)) {
		if (st->st_uid != geteuid())
			return;
		mode &= 0707;
	}
	if (!take_over_acl(fd, path))
		mode &= 0707;
	fchmod(fd, mode);
}

static int open_new(struct output *out)
{
	struct stat st;

	if (!lstat(out->name, &st))
		return error("%s: a symbolic link that leads nowhere", out->name);
	out->path = strdup(out->name);
	return out->path ? make_temporary(out) : error("%s: no memory", out->name);
}

static int open_replacement(struct output *out, const struct stat *st)
{
	int ret;

	if (access(out->name, W_OK))
		return error_errno(-errno, "%s", out->name);
	/* A symbolic link stays. The file that it leads to is replaced. */
	out->path = realpath(out->name, NULL);
	if (!out->path)
		return error_errno(-errno, "%s", out->name);
	ret = make_temporary(out);
	if (!ret)
		take_over(out->fd, out->path, st);
	return ret;
}

/* Opens an output; standard output without a name or with "-". Returns an exit code. */
int output_open(struct output *out, const char *name)
{
	struct stat st;

	*out = (struct output) { .name = name, .fd = -1 };
	if (!name || !strcmp(name, "-")) {
		out->name = "standard output";
		return open_standard_output(out);
	}
	if (is_closed(name))
		return error_errno(-EBADF, "%s", name);
	if (stat(name, &st))
		return errno == ENOENT && *name ? open_new(out) :
						  error_errno(-errno, "\"%s\"", name);
	if (is_standard_output(&st))
		return open_standard_output(out);
	if (S_ISDIR(st.st_mode))
		return error_errno(-EISDIR, "%s", name);
	return S_ISREG(st.st_mode) ? open_replacement(out, &st) :
				     open_in_place(out);
}

/* Returns an exit code. */
int output_write(struct output *out, const void *data, size_t len)
{
	struct pollfd ready = { .fd = out->fd, .events = POLLOUT };
	ssize_t ret;

	for (; len; data += ret, len -= ret) {
		ret = write(out->fd, data, len < PORTION ? len : PORTION);
		if (ret >= 0)
			continue;
		if (errno == EAGAIN)
			poll(&ready, 1, -1);
		else if (errno != EINTR)
			return error_errno(-errno, "%s", out->name);
		ret = 0;
	}
	return EXIT_OK;
}

/* Some files cannot be synced, and that is no error. */
static int sync_file(int fd)
{
	if (!fsync(fd) || errno == EINVAL || errno == EROFS || errno == ENOTSUP)
		return 0;
	return -errno;
}

static int rename_temporary(struct output *out)
{
	sigset_t before;
	int ret = 0;

	block_signals(&before);
	if (rename(temporary, out->path)) {
		ret = -errno;
		unlink(temporary);
	}
	free(temporary);
	temporary = NULL;
	unblock_signals(&before);
	return ret;
}

static void remove_temporary(void)
{
	sigset_t before;

	block_signals(&before);
	unlink(temporary);
	free(temporary);
	temporary = NULL;
	unblock_signals(&before);
}

/* Syncs the directory of a new file, because the file's name is there. */
static int sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, slash - path + 1) : strdup(".");
	int fd, ret;

	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	/* A directory that cannot be read can have files, too. */
	if (fd < 0)
		return errno == EACCES ? 0 : -errno;
	ret = sync_file(fd);
	close(fd);
	return ret;
}

/* If @ret is 0, the file is kept. Returns @ret, or another exit code. */
int output_close(struct output *out, int ret)
{
	int err = 0;

	if (out->fd >= 0) {
		if (!ret)
			err = sync_file(out->fd);
		if (close(out->fd) && !err)
			err = -errno;
		out->fd = -1;
	}
	if (temporary && out->path && !ret && !err)
		err = rename_temporary(out) ?: sync_directory(out->path);
	else if (temporary && out->path)
		remove_temporary();
	free(out->path);
	out->path = NULL;
	return ret || !err ? ret : error_errno(err, "%s", out->name);
}

/* Opens a file without a name for reading and writing. Returns a negative errno on failure. */
int output_temporary(void)
{
	const char *dir = getenv("TMPDIR");
	sigset_t before;
	char *name;
	int fd;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd < 0 ? -errno : fd;
	/* Not every file system has files without a name. */
	if (asprintf(&name, "%s/" TEMPORARY, dir) < 0)
		return -ENOMEM;
	block_signals(&before);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	else
		unlink(name);
	unblock_signals(&before);
	free(name);
	return fd;
}
