/* Makes chosen file operations of the real server fail.
 *
 * Loaded with LD_PRELOAD into the very program that is shipped, so that it lies below SQLite, tantivy and our own files
 * alike; a file layer of ours would reach our own files only, and would have to be built into the program. Overriding
 * libc's functions would not do: some crates make their system calls themselves. So a seccomp filter turns the calls
 * that change files into SIGSYS, and the handler counts each, lets it fail or makes it. Its own calls carry a mark in
 * the sixth argument, which none of these calls has, and pass the filter.
 *
 * FAULT_BELOW    the directory whose files are meant, as an absolute path without links
 * FAULT_CONTROL  a file that holds a `struct control`, mapped here and read and written by the test at any time
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum kind { FSYNC, FDATASYNC, RENAME, WRITE, TRUNCATE, CREATE, UNLINK, MSYNC, KINDS };
enum extent { ONCE, FROM_THEN_ON, ONCE_HALF_DONE };

#define PATH_BYTES 4096
#define TOLD_PATH_BYTES 512

/* The same words in the same order as in shim.rs. */
struct control {
    uint64_t processes;
    uint64_t fail_kind; /* KINDS for none */
    uint64_t fail_at;   /* the first is 1 */
    uint64_t fail_extent;
    uint64_t fail_errno;
    uint64_t is_limited; /* whether `bytes_left` counts */
    uint64_t bytes_left;
    uint64_t failed; /* calls that were made to fail */
    uint64_t counts[KINDS];
    uint64_t is_watched;  /* whether the test looks after every sync */
    uint64_t is_telling;  /* held by the thread that tells of one */
    uint64_t syncs_told;
    uint64_t syncs_taken; /* what the test has looked at */
    char failed_path[TOLD_PATH_BYTES]; /* of the first call that was made to fail */
    char synced_path[TOLD_PATH_BYTES];
};

static struct control *control;
static char below[PATH_BYTES];
static size_t below_length;

#define MARK 0x6661756c74ULL

static long real(long number, const long *a) {
    long result = syscall(number, a[0], a[1], a[2], a[3], a[4], MARK);
    return result < 0 ? -errno : result;
}

static int lies_below(const char *path) {
    return strncmp(path, below, below_length) == 0 && (path[below_length] == '/' || path[below_length] == 0);
}

/* Finds the path of an open file. */
static int path_of(int fd, char *path) {
    char link[40] = "/proc/self/fd/", digits[12];
    size_t at = strlen(link), count = 0;
    if (fd < 0) return 0;
    do digits[count++] = (char)('0' + fd % 10); while ((fd /= 10) > 0);
    while (count > 0) link[at++] = digits[--count];
    const long arguments[5] = {AT_FDCWD, (long)link, (long)path, PATH_BYTES - 1, 0};
    long length = real(SYS_readlinkat, arguments);
    if (length <= 0) return 0;
    path[length] = 0;
    return 1;
}

/* Finds the whole path of a name in a directory. */
static int path_at(int directory, const char *name, char *path) {
    if (name == NULL) return 0;
    size_t length = 0;
    if (name[0] != '/') {
        if (directory == AT_FDCWD || !path_of(directory, path)) return 0;
        length = strlen(path);
        path[length++] = '/';
    }
    if (length + strlen(name) >= PATH_BYTES) return 0;
    strcpy(path + length, name);
    return 1;
}

/* Counts a call, and returns whether it is to fail. */
static int fails(enum kind kind, const char *path) {
    uint64_t number = __atomic_add_fetch(&control->counts[kind], 1, __ATOMIC_SEQ_CST);
    if (control->fail_kind != kind) return 0;
    int is_meant = control->fail_extent == FROM_THEN_ON ? number >= control->fail_at : number == control->fail_at;
    if (is_meant && __atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST) == 0)
        strncpy(control->failed_path, path, TOLD_PATH_BYTES - 1);
    return is_meant;
}

static long simple(enum kind kind, const char *path, long number, const long *a) {
    return fails(kind, path) ? -(long)control->fail_errno : real(number, a);
}

static void wait_a_little(void) {
    const struct timespec time = {.tv_nsec = 20000};
    nanosleep(&time, NULL);
}

/* Syncs, and does not return before the test has looked at what is durable now. */
static long sync_told(enum kind kind, const char *path, long number, const long *a) {
    long result = simple(kind, path, number, a);
    if (result != 0 || !__atomic_load_n(&control->is_watched, __ATOMIC_SEQ_CST)) return result;
    while (__atomic_exchange_n(&control->is_telling, 1, __ATOMIC_SEQ_CST) != 0) wait_a_little();
    strncpy(control->synced_path, path, TOLD_PATH_BYTES - 1);
    uint64_t mine = __atomic_add_fetch(&control->syncs_told, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&control->is_watched, __ATOMIC_SEQ_CST) &&
           __atomic_load_n(&control->syncs_taken, __ATOMIC_SEQ_CST) < mine)
        wait_a_little();
    __atomic_store_n(&control->is_telling, 0, __ATOMIC_SEQ_CST);
    return result;
}

/* Takes up to `wanted` bytes of the room that is left. */
static uint64_t take_room(uint64_t wanted) {
    uint64_t left = __atomic_load_n(&control->bytes_left, __ATOMIC_SEQ_CST), taken;
    do taken = wanted < left ? wanted : left;
    while (!__atomic_compare_exchange_n(&control->bytes_left, &left, left - taken, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return taken;
}

/* Writes with one buffer. */
static long write_some(const char *path, long number, const long *a) {
    long arguments[5] = {a[0], a[1], a[2], a[3], a[4]};
    if (fails(WRITE, path)) {
        if (control->fail_extent == ONCE_HALF_DONE && a[2] > 1) {
            arguments[2] = a[2] / 2;
            real(number, arguments);
        }
        return -(long)control->fail_errno;
    }
    if (control->is_limited && a[2] > 0) {
        arguments[2] = (long)take_room((uint64_t)a[2]);
        if (arguments[2] == 0) {
            if (__atomic_fetch_add(&control->failed, 1, __ATOMIC_SEQ_CST) == 0)
                strncpy(control->failed_path, path, TOLD_PATH_BYTES - 1);
            return -ENOSPC;
        }
    }
    return real(number, arguments);
}

/* Writes with several buffers: the first that holds something, since a short write is allowed. */
static long write_vector(const char *path, long number, const long *a) {
    const struct iovec *buffers = (const struct iovec *)a[1];
    for (long at = 0; at < a[2]; at++) {
        if (buffers[at].iov_len == 0) continue;
        const long single[5] = {a[0], (long)buffers[at].iov_base, (long)buffers[at].iov_len, a[3], 0};
        return write_some(path, number == SYS_writev ? SYS_write : SYS_pwrite64, single);
    }
    return real(number, a);
}

static long handle(long number, const long *a) {
    char path[PATH_BYTES];
    switch (number) {
    case SYS_msync: /* names memory, not a file: counted wherever it is */
        return simple(MSYNC, "", number, a);
    case SYS_fsync:
    case SYS_fdatasync:
        if (!path_of((int)a[0], path) || !lies_below(path)) break;
        return sync_told(number == SYS_fsync ? FSYNC : FDATASYNC, path, number, a);
    case SYS_write:
    case SYS_pwrite64:
        if (!path_of((int)a[0], path) || !lies_below(path)) break;
        return write_some(path, number, a);
    case SYS_writev:
    case SYS_pwritev:
        if (!path_of((int)a[0], path) || !lies_below(path)) break;
        return write_vector(path, number, a);
    case SYS_ftruncate:
    case SYS_fallocate:
        if (!path_of((int)a[0], path) || !lies_below(path)) break;
        return simple(TRUNCATE, path, number, a);
    case SYS_openat:
        if (!path_at((int)a[0], (const char *)a[1], path) || !lies_below(path)) break;
        return simple(CREATE, path, number, a);
    case SYS_unlinkat:
        if (!path_at((int)a[0], (const char *)a[1], path) || !lies_below(path)) break;
        return simple(UNLINK, path, number, a);
    case SYS_mkdirat:
        if (!path_at((int)a[0], (const char *)a[1], path) || !lies_below(path)) break;
        return simple(CREATE, path, number, a);
    case SYS_linkat:
    case SYS_renameat:
    case SYS_renameat2:
        if (!path_at((int)a[2], (const char *)a[3], path) || !lies_below(path)) break;
        return simple(RENAME, path, number, a);
#ifdef SYS_open
    case SYS_open:
    case SYS_mkdir:
        if (!path_at(AT_FDCWD, (const char *)a[0], path) || !lies_below(path)) break;
        return simple(CREATE, path, number, a);
    case SYS_unlink:
    case SYS_rmdir:
        if (!path_at(AT_FDCWD, (const char *)a[0], path) || !lies_below(path)) break;
        return simple(UNLINK, path, number, a);
    case SYS_rename:
    case SYS_link:
        if (!path_at(AT_FDCWD, (const char *)a[1], path) || !lies_below(path)) break;
        return simple(RENAME, path, number, a);
#endif
    }
    return real(number, a);
}

static void on_trap(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    ucontext_t *machine = context;
    int saved = errno;
#if defined(__x86_64__)
    greg_t *r = machine->uc_mcontext.gregs;
    const long arguments[5] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8]};
    r[REG_RAX] = handle(info->si_syscall, arguments);
#elif defined(__aarch64__)
    unsigned long long *r = machine->uc_mcontext.regs;
    const long arguments[5] = {(long)r[0], (long)r[1], (long)r[2], (long)r[3], (long)r[4]};
    r[0] = (unsigned long long)handle(info->si_syscall, arguments);
#else
#error "which registers hold a system call's arguments here?"
#endif
    errno = saved;
}

static void say_and_end(const char *text) {
    (void)!write(2, text, strlen(text));
    _exit(99);
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define TRAP BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)
/* The filter has the call's number loaded. Allows a marked call of this number, traps another. */
#define WATCH(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), TRAP
/* The same where the call may create the file; a program that begins opens libraries before there is a handler. */
#define WATCH_CREATING(number, flags) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4), LOAD(flags), \
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 0, 1), TRAP, ALLOW

static void install_filter(void) {
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        ALLOW,
        LOAD(args[5]),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)MARK, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5]) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(MARK >> 32), 0, 1),
        ALLOW,
        LOAD(nr),
        WATCH(SYS_fsync),
        WATCH(SYS_fdatasync),
        WATCH(SYS_write),
        WATCH(SYS_pwrite64),
        WATCH(SYS_writev),
        WATCH(SYS_pwritev),
        WATCH(SYS_ftruncate),
        WATCH(SYS_fallocate),
        WATCH(SYS_unlinkat),
        WATCH(SYS_mkdirat),
        WATCH(SYS_linkat),
        WATCH(SYS_renameat),
        WATCH(SYS_renameat2),
        WATCH(SYS_msync),
        WATCH_CREATING(SYS_openat, args[2]),
#ifdef SYS_open
        WATCH(SYS_unlink),
        WATCH(SYS_rmdir),
        WATCH(SYS_rename),
        WATCH(SYS_link),
        WATCH(SYS_mkdir),
        WATCH_CREATING(SYS_open, args[1]),
#endif
        ALLOW,
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) != 0)
        say_and_end("fault shim: this system does not let a program filter its own system calls (seccomp)\n");
}

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAULT_CONTROL"), *directory = getenv("FAULT_BELOW");
    if (file == NULL || directory == NULL) return;
    below_length = strlen(directory);
    if (below_length >= sizeof below) say_and_end("fault shim: FAULT_BELOW is too long\n");
    memcpy(below, directory, below_length + 1);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0 || found.st_size < (off_t)sizeof *control)
        say_and_end("fault shim: FAULT_CONTROL is no control file\n");
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED) say_and_end("fault shim: FAULT_CONTROL cannot be mapped\n");
    close(fd);
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_RESTART};
    if (sigaction(SIGSYS, &action, NULL) != 0) say_and_end("fault shim: no handler for SIGSYS\n");
    __atomic_add_fetch(&control->processes, 1, __ATOMIC_SEQ_CST);
    install_filter();
}
