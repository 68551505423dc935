/*
 * Intercepts the file calls of a program (LD_PRELOAD). Two uses, both limited to paths under FILE_CALLS_ROOT:
 *
 *   FILE_CALLS_FAULTS=CALL:ERRNO:SKIP:COUNT[,…]  makes calls fail: after SKIP calls the next COUNT fail with ERRNO.
 *                                                ERRNO 0 on write: half of the bytes are written.
 *   FILE_CALLS_JOURNAL=FILE                      records changes of files and folders, and syncs, so that
 *                                                the state after a power loss can be computed. Files that are removed
 *                                                or replaced are kept in FILE_CALLS_SHADOW.
 *   FILE_CALLS_STOP=N                            kills the process right after the Nth line of the journal.
 *
 * CALL is one of open, read, write, sync, link, rename, unlink, mkdir.
 *
 * Journal lines, with fields separated by tabs. The inode identifies a file, and sizes are in bytes.
 *   create INODE PATH | write INODE SIZE | sync INODE SIZE | syncdir PATH | mkdir PATH
 *   link INODE FROM TO | rename INODE FROM TO SHADOW-or-- | unlink INODE PATH SHADOW
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static const char *root, *shadow;
static int journal = -1;
static long lines, stop_after = -1, shadows;

enum call { OPEN, READ, WRITE, SYNC, LINK, RENAME, UNLINK, MKDIR, CALLS };
static const char *names[CALLS] = {"open", "read", "write", "sync", "link", "rename", "unlink", "mkdir"};
static struct { int armed, error; long skip, count, seen; } faults[CALLS];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void __attribute__((constructor)) start(void) {
    root = getenv("FILE_CALLS_ROOT");
    shadow = getenv("FILE_CALLS_SHADOW");
    const char *path = getenv("FILE_CALLS_JOURNAL");
    if (path) journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (getenv("FILE_CALLS_STOP")) stop_after = atol(getenv("FILE_CALLS_STOP"));
    const char *wanted = getenv("FILE_CALLS_FAULTS");
    while (wanted && *wanted) {
        for (int call = 0; call < CALLS; call++) {
            size_t length = strlen(names[call]);
            if (strncmp(wanted, names[call], length) == 0 && wanted[length] == ':') {
                faults[call].armed = sscanf(wanted + length, ":%d:%ld:%ld", &faults[call].error, &faults[call].skip,
                                            &faults[call].count) == 3;
            }
        }
        wanted = strchr(wanted, ',');
        if (wanted) wanted++;
    }
}

/* Whether an absolute or relative path is under the root. */
static int under_root(const char *path) {
    return root && path && strncmp(path, root, strlen(root)) == 0;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return under_root(path);
}

/* The fault of this call: -1 fails and sets errno, 1 writes half. */
static int fails(enum call call) {
    if (!faults[call].armed) return 0;
    pthread_mutex_lock(&lock);
    long at = faults[call].seen++;
    pthread_mutex_unlock(&lock);
    if (at < faults[call].skip || at >= faults[call].skip + faults[call].count) return 0;
    if (faults[call].error == 0) return 1;
    errno = faults[call].error;
    return -1;
}

static void note(const char *format, ...) {
    if (journal < 0) return;
    char line[3 * PATH_MAX];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (length > 0) syscall(SYS_write, journal, line, (size_t)length);
    lines++;
    if (stop_after >= 0 && lines >= stop_after) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
}

static unsigned long inode_of(const char *path, struct stat *found) {
    return syscall(SYS_newfstatat, AT_FDCWD, path, found, AT_SYMLINK_NOFOLLOW) == 0 ? found->st_ino : 0;
}

/* Keeps a copy of a file that is about to lose a name. */
static void keep(const char *path, char *kept) {
    strcpy(kept, "-");
    struct stat found;
    if (journal < 0 || !shadow || !inode_of(path, &found)) return;
    snprintf(kept, PATH_MAX, "%s/%d-%ld", shadow, (int)getpid(), shadows++);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0) != 0) strcpy(kept, "-");
}

static int open_at(int dir, const char *path, int flags, mode_t mode) {
    if (!under_root(path)) return (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fails(OPEN)) return -1;
    pthread_mutex_lock(&lock);
    struct stat found;
    int fresh = (flags & O_CREAT) && !inode_of(path, &found);
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    int error = errno;
    if (fd >= 0 && fresh) note("create\t%lu\t%s\n", inode_of(path, &found), path);
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list values) {
    return (flags & (O_CREAT | O_TMPFILE)) ? va_arg(values, mode_t) : 0;
}

#define OPENER(name) \
    int name(const char *path, int flags, ...) { \
        va_list values; \
        va_start(values, flags); \
        mode_t mode = mode_of(flags, values); \
        va_end(values); \
        return open_at(AT_FDCWD, path, flags, mode); \
    }
OPENER(open)
OPENER(open64)

int openat(int dir, const char *path, int flags, ...) {
    va_list values;
    va_start(values, flags);
    mode_t mode = mode_of(flags, values);
    va_end(values);
    return open_at(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...) {
    va_list values;
    va_start(values, flags);
    mode_t mode = mode_of(flags, values);
    va_end(values);
    return open_at(dir, path, flags, mode);
}

static void note_written(int fd, const char *what) {
    struct stat found;
    int error = errno;
    if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode)) note("%s\t%lu\t%ld\n", what, found.st_ino, (long)found.st_size);
    errno = error;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(SYS_write, fd, bytes, count);
    int fault = fails(WRITE);
    if (fault < 0) return -1;
    if (fault > 0 && count > 1) count /= 2;
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_write, fd, bytes, count);
    if (done > 0) note_written(fd, "write");
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(SYS_writev, fd, parts, count);
    return count > 0 ? write(fd, parts[0].iov_base, parts[0].iov_len) : 0;
}

ssize_t read(int fd, void *bytes, size_t count) {
    char path[PATH_MAX];
    if (faults[READ].armed && path_of(fd, path) && fails(READ) < 0) return -1;
    return syscall(SYS_read, fd, bytes, count);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
    char path[PATH_MAX];
    if (faults[READ].armed && path_of(fd, path) && fails(READ) < 0) return -1;
    return syscall(SYS_pread64, fd, bytes, count, at);
}

static int sync_file(int fd, long number) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return (int)syscall(number, fd);
    if (fails(SYNC)) return -1;
    pthread_mutex_lock(&lock);
    /* The test uses the model, so the real sync is not needed. */
    struct stat found;
    if (fstat(fd, &found) == 0 && S_ISDIR(found.st_mode)) note("syncdir\t%s\n", path);
    else note_written(fd, "sync");
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return sync_file(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    if (!under_root(to)) return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (fails(LINK)) return -1;
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags), error = errno;
    struct stat found;
    if (done == 0) note("link\t%lu\t%s\t%s\n", inode_of(to, &found), from, to);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int rename(const char *from, const char *to) {
    if (!under_root(to)) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (fails(RENAME)) return -1;
    pthread_mutex_lock(&lock);
    char kept[PATH_MAX];
    struct stat found;
    unsigned long inode = inode_of(from, &found);
    keep(to, kept);
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0), error = errno;
    if (done == 0) note("rename\t%lu\t%s\t%s\t%s\n", inode, from, to, kept);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int unlink(const char *path) {
    if (!under_root(path)) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (fails(UNLINK)) return -1;
    pthread_mutex_lock(&lock);
    char kept[PATH_MAX];
    struct stat found;
    unsigned long inode = inode_of(path, &found);
    keep(path, kept);
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0), error = errno;
    if (done == 0) note("unlink\t%lu\t%s\t%s\n", inode, path, kept);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int mkdir(const char *path, mode_t mode) {
    if (!under_root(path)) return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (fails(MKDIR)) return -1;
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode), error = errno;
    if (done == 0) note("mkdir\t%s\n", path);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
