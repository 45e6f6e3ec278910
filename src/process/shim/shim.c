/*
 * The shim: starts one program, stays the reaper of its tree, and writes down what only a parent can know.
 * shim.py is its twin where there is no compiler; tests/contracts/shim runs over both.
 *
 *   shim FORKDIR               runs what FORKDIR/exec says, fills FORKDIR/record, ends after the tree
 *   shim --rank FORKDIR CMD…   one rank below torchrun: its own log files and record; ends as its child ended
 *   shim --owner NAME          the uid of who listens at an abstract socket, '?' where unknown
 *
 * TROUPE_HELD=N in the shim's own environment: descriptors 3 to 3+N-1 are leases. The shim keeps them until
 *   nothing of the tree is left; the worker has none of them.
 * TROUPE_SHELL: umask (or -1) and soft limits of the shell whose program the worker is, as
 *   `UMASK RESOURCE:SOFT,RESOURCE:SOFT,`; a limit of -1 is none.
 * exec: NUL-ended words: cwd, log directory, cgroup or nothing, boot id, OOM kills, argc, argv…, environment…
 * record: four slots of 128 bytes (shim, child, exit, empty; of a rank the last is `told`), blank from
 *   `prepare` on, so that a full disk cannot lose an exit.
 * fence: where there is one, the agent renews it. After its limit without a renewal the tree is ended here:
 *   the agent may be dead or frozen. Before that the stop signals are sent here, unless the agent has sent
 *   one: who makes `stopping` does.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SHIM, CHILD, EXIT, EMPTY, SLOTS, SLOT_BYTES = 128, HEAD = 6 };

static int record = -1;
static char record_path[PATH_MAX], fence_path[PATH_MAX], slots[SLOTS * SLOT_BYTES];

static void open_record(int flags) {
  record = open(record_path, O_RDWR | O_CLOEXEC | flags, 0600);
  memset(slots, ' ', sizeof slots);
  for (int slot = 1; slot <= SLOTS; slot++) slots[slot * SLOT_BYTES - 1] = '\n';
}

static void make_parents(const char *path) {
  char part[PATH_MAX];
  snprintf(part, sizeof part, "%s", path);
  for (char *at = strchr(part + 1, '/'); at; at = strchr(at + 1, '/')) {
    *at = 0;
    mkdir(part, 0700);
    *at = '/';
  }
}

static long long wall(void);

static int is_kept(void) {
  struct stat ours, there;
  char now[sizeof slots];
  return fstat(record, &ours) == 0 && stat(record_path, &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev && pread(record, now, sizeof now, 0) == sizeof now &&
         memcmp(now, slots, sizeof now) == 0;
}

/* A worker may remove, move, empty or write over what is in its own directory: what is known is then written
 * anew, where it is looked for; what stands in the way is moved aside. The open descriptor is the last
 * resort. */
static void keep_record(void) {
  char fresh[PATH_MAX + 8], aside[PATH_MAX + 32];
  if (is_kept()) return;
  make_parents(record_path);
  snprintf(fresh, sizeof fresh, "%s.new", record_path);
  int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (pwrite(fd, slots, sizeof slots, 0) == sizeof slots) {
    int there = rename(fresh, record_path);
    if (there < 0 && errno == EISDIR) {
      snprintf(aside, sizeof aside, "%s.%lld", record_path, wall());
      there = rename(record_path, aside) < 0 ? -1 : rename(fresh, record_path);
    }
    if (there == 0) dup3(fd, record, O_CLOEXEC);
  }
  close(fd);
}

/* The first byte comes last: a reader sees a blank slot or a whole one. */
static void fill(int file, int slot, const char *text) {
  if (pwrite(file, text + 1, SLOT_BYTES - 1, slot * SLOT_BYTES + 1) == SLOT_BYTES - 1 &&
      pwrite(file, text, 1, slot * SLOT_BYTES) == 1)
    return;
}

static void put(int slot, const char *format, ...) {
  char text[SLOT_BYTES + 1];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(text, SLOT_BYTES, format, args);
  va_end(args);
  if (length < SLOT_BYTES) memset(text + length, ' ', SLOT_BYTES - length);
  text[SLOT_BYTES - 1] = '\n';
  keep_record();
  memcpy(slots + slot * SLOT_BYTES, text, SLOT_BYTES);
  fill(record, slot, text);
}

/* Microseconds: a rank and the peer that torch ends for it can end within one millisecond. Readers ask for
 * the first one. */
static long long wall(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* Field 22 of stat, counted from the last bracket: the name inside the brackets may hold anything. */
static const char *start_time(pid_t pid, char out[24]) {
  char line[1024] = "";
  snprintf(line, sizeof line, "/proc/%d/stat", (int)pid);
  int fd = open(line, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
  if (fd >= 0) close(fd);
  line[length > 0 ? length : 0] = 0;
  char *at = strrchr(line, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  if (!at || sscanf(at, " %23[0-9]", out) != 1) strcpy(out, "0");
  return out;
}

/* The words of a file, ended by NULL; at least HEAD of them, or nothing. */
static char **read_words(const char *path, size_t *count) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) < 0) return NULL;
  char *text = malloc(info.st_size + 1), **words = malloc((info.st_size + 1) * sizeof *words);
  ssize_t have = 0, got;
  while (text && words && have < info.st_size && (got = read(fd, text + have, info.st_size - have)) > 0)
    have += got;
  close(fd);
  *count = 0;
  for (char *at = text; words && at < text + have; at += strlen(at) + 1) words[(*count)++] = at;
  if (*count < HEAD) return NULL;
  words[*count] = NULL;
  return words;
}

static int open_logs(const char *directory, const char *prefix) {
  for (int fd = 1; fd <= 2; fd++) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s%s", directory, prefix, fd == 1 ? "stdout" : "stderr");
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 && errno == ENOENT) {
      make_parents(path);
      file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    if (file < 0 || dup2(file, fd) < 0) return -1;
  }
  return 0;
}

static void default_signals(void) {
  sigset_t none;
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Nobody may have more than what is allowed to all here. */
static void as_in_shell(const char *text) {
  int mask, resource, length = 0;
  long long soft;
  struct rlimit limit;
  if (!text || sscanf(text, "%d %n", &mask, &length) != 1) return;
  if (mask >= 0) umask(mask);
  for (text += length; sscanf(text, "%d:%lld,%n", &resource, &soft, &length) == 2; text += length) {
    rlim_t asked = soft < 0 ? RLIM_INFINITY : (rlim_t)soft;
    if (getrlimit(resource, &limit) < 0) continue;
    limit.rlim_cur = asked < limit.rlim_max ? asked : limit.rlim_max;
    setrlimit(resource, &limit);
  }
}

/* In the child: tell the shim, and the worker's own stderr as a shell would, why there is no program. */
static void give_up(int report, const char *stage, const char *what, int error) {
  if (strcmp(stage, "logs") != 0) dprintf(2, "troupe: %s: %s\n", what, strerror(error));
  dprintf(report, "%d %s", error, stage);
  _exit(error == ENOENT && strcmp(stage, "exec") == 0 ? 127 : 126);
}

/*
 * Fork straight into a cgroup: to move a running process there, the kernel waits for a grace period of RCU,
 * 20 ms and more.
 * @returns as fork does; -1 also where the kernel has no such call (5.7), or may not be asked for it
 */
static pid_t fork_into(const char *cgroup) {
  enum { CLONE3 = 435 };
  const unsigned long long into_cgroup = 0x200000000ULL;
  /* struct clone_args, which the headers of older systems do not have */
  struct {
    unsigned long long flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
      set_tid_size, cgroup;
  } args = {.flags = into_cgroup, .exit_signal = SIGCHLD};
  int directory = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -1;
  args.cgroup = directory;
  pid_t child = syscall(CLONE3, &args, sizeof args);
  close(directory);
  return child;
}

static int enter(const char *cgroup) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
  int procs = *cgroup ? open(path, O_WRONLY | O_CLOEXEC) : -1;
  return procs >= 0 && write(procs, "0", 1) == 1;
}

/* Wait until the child has become the program, which closes the pipe. @returns 0, or a failed start's code */
static int await_exec(pid_t child, int report) {
  char said[64], start[24], stage[16] = "fork", in_cgroup = '-';
  ssize_t have = 0, got;
  int error = errno;
  start_time(child, start);
  while (child > 0 && ((got = read(report, said + have, sizeof said - 1 - have)) > 0 ||
                       (got < 0 && errno == EINTR)))
    have += got > 0 ? got : 0;
  said[have] = 0;
  if (said[0] == 'c') in_cgroup = 'c';
  if (child > 0 && sscanf(said + (in_cgroup == 'c'), "%d %15s", &error, stage) != 2) {
    put(CHILD, "child %d %s %lld %c", (int)child, start, wall(), in_cgroup);
    return 0;
  }
  put(EXIT, "failed %d %s %lld", error, stage, wall());
  return error == ENOENT && strcmp(stage, "exec") == 0 ? 127 : 126;
}

static int held(void) {
  const char *count = getenv("TROUPE_HELD");
  int n = count ? atoi(count) : 0;
  return n > 0 && n < 1024 ? n : 0;
}

/* The leases end just before we say so: who hears it may lease again at once. */
static void say_empty(void) {
  for (int fd = 3; fd < 3 + held(); fd++) close(fd);
  put(EMPTY, "empty %lld", wall());
}

static struct {
  long long limit, renewed;
  char token[32], ladder[128];
  const char *next; /* what is left of the ladder */
  int over, begun, signal;
} fence;

/* Time in which the machine slept counts too: elsewhere it passed. No other process's clock is compared. */
static long long boot_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/*
 * fence: limit in ms, token, age of the agent's word at the write, the token again (a torn line has two),
 * ladder: `r` (root) or `t` (tree), then `ms:signal,ms:signal`, each due after so long a silence.
 */
static int look_at_fence(void) {
  char line[257] = "", first[32], again[32];
  long long limit, age;
  int fd = open(fence_path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
  if (fd >= 0) close(fd);
  if (length > 0 && fence.begun <= 0 &&
      sscanf(line, "%lld %31s %lld %31s %127s", &limit, first, &age, again, fence.ladder) >= 4 &&
      !strcmp(first, again) && strcmp(first, fence.token)) {
    strcpy(fence.token, first);
    fence.limit = limit;
    fence.renewed = boot_ms() - age;
  }
  if (fence.limit > 0 && boot_ms() - fence.renewed >= fence.limit) fence.over = 1;
  return fence.limit > 0;
}

static int read_stat(int pid, int *parent, int *group) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
  if (fd >= 0) close(fd);
  line[length > 0 ? length : 0] = 0;
  char *at = strrchr(line, ')');
  return at && sscanf(at, ") %*c %d %d", parent, group) == 2;
}

/* One signal to each process of the tree that is there now. */
static void signal_tree(int number) {
  DIR *processes = opendir("/proc");
  for (struct dirent *entry; processes && (entry = readdir(processes));) {
    int pid = atoi(entry->d_name), above = pid, group;
    while (above > 1 && above != getpid())
      if (!read_stat(above, &above, &group)) above = 0;
    if (above == getpid() && pid != getpid()) kill(pid, number);
  }
  if (processes) closedir(processes);
}

/* Send what is due of the ladder. Whether the agent or we stop the tree is settled before the first one. */
static void climb(pid_t root) {
  long long due;
  int number, length;
  if (!fence.next && *fence.ladder) fence.next = fence.ladder + 1;
  while (fence.next && fence.begun >= 0 && sscanf(fence.next, "%lld:%d%n", &due, &number, &length) == 2 &&
         boot_ms() - fence.renewed >= due) {
    if (!fence.begun) {
      int claim = open("stopping", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      fence.begun = claim < 0 && errno == EEXIST ? -1 : 1;
      if (claim >= 0 && write(claim, "shim", 4) == 4) close(claim);
      if (fence.begun < 0) return;
    }
    fence.next += length + (fence.next[length] == ',');
    fence.signal = number;
    if (root > 0 && *fence.ladder == 'r')
      kill(root, number);
    else
      signal_tree(number);
  }
}

/* One round of SIGKILL over our children and their groups; whose parent ends comes to us, for the next. */
static void kill_children(const char *cgroup) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/cgroup.kill", cgroup);
  int whole = *cgroup ? open(path, O_WRONLY | O_CLOEXEC) : -1;
  if (whole >= 0 && write(whole, "1", 1) != 1) whole = -1;
  if (whole >= 0) close(whole);
  DIR *processes = opendir("/proc");
  for (struct dirent *entry; processes && (entry = readdir(processes));) {
    int pid = atoi(entry->d_name), parent, group;
    if (pid <= 0 || !read_stat(pid, &parent, &group) || parent != getpid()) continue;
    if (group > 1 && group != getpgrp()) kill(-group, SIGKILL);
    kill(pid, SIGKILL);
  }
  if (processes) closedir(processes);
}

static void tick(int number) { (void)number; } /* not SA_RESTART: it is to interrupt the wait */

/* The program of a rank comes to us when its own shim was killed: we alone know then how it ended. */
static void adopted(pid_t pid, int status) {
  char text[sizeof slots], exit_slot[SLOT_BYTES + 1];
  DIR *ranks = opendir("ranks");
  for (struct dirent *entry; ranks && (entry = readdir(ranks));) {
    int of, file = openat(dirfd(ranks), entry->d_name, O_RDWR | O_CLOEXEC);
    if (file < 0) continue;
    if (pread(file, text, sizeof text, 0) == sizeof text && text[EXIT * SLOT_BYTES] == ' ' &&
        sscanf(text + CHILD * SLOT_BYTES, "child %d ", &of) == 1 && of == pid) {
      int length = snprintf(exit_slot, SLOT_BYTES, "exit %d %lld adopted", status, wall());
      memset(exit_slot + length, ' ', SLOT_BYTES - length);
      exit_slot[SLOT_BYTES - 1] = '\n';
      fill(file, EXIT, exit_slot);
    }
    close(file);
  }
  if (ranks) closedir(ranks);
}

static int run_worker(const char *directory) {
  char start[24];
  if (chdir(directory) < 0 || mkdir("started", 0700) < 0) return 3;
  setsid();
  for (int number = 1; number < NSIG; number++) signal(number, number == SIGCHLD ? SIG_DFL : SIG_IGN);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int fd = 3; fd < 3 + held(); fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
  syscall(SYS_close_range, 3 + held(), ~0U, 0);
  const struct sigaction action = {.sa_handler = tick};
  sigaction(SIGCONT, &action, NULL); /* the agent asks for a record that it can read */
  snprintf(record_path, sizeof record_path, "%s/record", directory);
  snprintf(fence_path, sizeof fence_path, "%s/fence", directory);
  open_record(0);
  put(SHIM, "shim %d %s", (int)getpid(), start_time(getpid(), start));

  size_t count = 0, argc = 0;
  int report[2], status;
  char **words = read_words("exec", &count);
  if (words) argc = strtoul(words[5], NULL, 10);
  if (argc == 0 || count < HEAD + argc || pipe2(report, O_CLOEXEC) < 0) {
    put(EXIT, "failed %d setup %lld", errno, wall());
    say_empty();
    return 4;
  }
  pid_t child = *words[2] ? fork_into(words[2]) : -1;
  int inside = child >= 0;
  if (child < 0) child = fork();
  if (child == 0) {
    char *argv[argc + 1];
    memcpy(argv, words + HEAD, argc * sizeof *argv);
    argv[argc] = NULL;
    setsid();
    default_signals();
    if (open_logs(words[1], "") < 0 || dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 0) < 0)
      give_up(report[1], "logs", "", errno);
    if (inside || enter(words[2])) dprintf(report[1], "c");
    if (chdir(words[0]) < 0) give_up(report[1], "chdir", words[0], errno);
    as_in_shell(getenv("TROUPE_SHELL"));
    environ = words + HEAD + argc;
    execvp(argv[0], argv);
    give_up(report[1], "exec", argv[0], errno);
  }
  close(report[1]);
  int failed = await_exec(child, report[0]);

  if (look_at_fence()) {
    struct itimerval often = {{0, 250000}, {0, 250000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
  }
  /* Orphans of the tree come to us; when there is no child left, nothing of it is. */
  for (pid_t ended; (ended = waitpid(-1, &status, fence.over ? WNOHANG : 0)) >= 0 || errno == EINTR;) {
    if (ended == child && !failed) {
      put(EXIT, "exit %d %lld%s", status, wall(), fence.over || fence.begun > 0 ? " fence" : "");
      child = 0;
      if (fence.begun > 0 && *fence.ladder == 'r') signal_tree(fence.signal);
    } else if (ended > 0) {
      adopted(ended, status);
    }
    if (ended > 0) continue;
    keep_record();
    look_at_fence();
    climb(failed ? 0 : child);
    if (!fence.over) continue;
    kill_children(words[2]);
    usleep(1000);
  }
  say_empty();
  return 0;
}

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : "0";
}

/* The launcher told its rank to end, and will kill it after so many seconds: it may take us with it. */
static void say_told(int number) {
  const char *asked = getenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT");
  int digits = asked ? strspn(asked, "0123456789") : 0;
  int fits = digits > 0 && digits < 10 && !asked[digits];
  put(EMPTY, "told %d %lld %s", number, wall(), fits ? asked : "30");
}

static int run_rank(const char *directory, char **argv) {
  char path[PATH_MAX], prefix[64], start[24];
  size_t count;
  int report[2], status = 0;
  const char *rank = variable("RANK"), *restart = variable("TORCHELASTIC_RESTART_COUNT");
  snprintf(path, sizeof path, "%s/exec", directory);
  char **words = read_words(path, &count);
  snprintf(record_path, sizeof record_path, "%s/ranks/%s.%s", directory, variable("LOCAL_RANK"), restart);
  open_record(O_CREAT);
  if (!words || record < 0 || pwrite(record, slots, sizeof slots, 0) < 0 || pipe2(report, O_CLOEXEC) < 0) {
    dprintf(2, "troupe: rank %s: cannot use %s: %s\n", rank, record_path, strerror(errno));
    return 126;
  }
  put(SHIM, "shim %d %s %s", (int)getpid(), start_time(getpid(), start), rank);
  snprintf(prefix, sizeof prefix, strcmp(restart, "0") ? "r%s.%s-" : "r%s-", rank, restart);

  /* Where torch gives each rank a group, signals come to the whole group, and the child has its own. Else
   * they come to us alone. */
  int leader = getpgrp() == getpid(), passed[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGCHLD);
  for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) sigaddset(&awaited, passed[i]);
  sigprocmask(SIG_BLOCK, &awaited, NULL);
  signal(SIGCHLD, SIG_DFL);

  pid_t self = getpid(), child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self) _exit(126);
    default_signals();
    if (open_logs(words[1], prefix) < 0) give_up(report[1], "logs", "", errno);
    execvp(argv[0], argv);
    give_up(report[1], "exec", argv[0], errno);
  }
  close(report[1]);
  int failed = await_exec(child, report[0]);
  while (child > 0 && waitpid(child, &status, WNOHANG) == 0) {
    siginfo_t from;
    int number = sigwaitinfo(&awaited, &from);
    if (number <= 0 || number == SIGCHLD) continue;
    if (from.si_pid == getppid()) say_told(number);
    if (!leader) kill(child, number);
  }
  if (failed) return failed;
  put(EXIT, "exit %d %lld", status, wall());
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  prctl(PR_SET_DUMPABLE, 0); /* the child has left its core, if any */
  for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) signal(passed[i], SIG_IGN); /* what waits */
  default_signals();
  raise(WTERMSIG(status));
  return 128 + WTERMSIG(status);
}

/* Of a lease's name. Node has no word for this. Some of its versions fill a name with NULs. */
static int say_owner(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", name);
  const socklen_t lengths[] = {sizeof address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)};
  for (int i = 0; i < 2; i++) {
    struct ucred who;
    socklen_t size = sizeof who;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, lengths[i]) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0)
      return printf("%u\n", (unsigned)who.uid) < 0;
    if (errno == EAGAIN) return printf("?\n") < 0;
    close(fd);
  }
  return 1;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "--owner") == 0) return say_owner(argv[2]);
  if (argc == 2 && argv[1][0] != '-') return run_worker(argv[1]);
  if (argc > 3 && strcmp(argv[1], "--rank") == 0) return run_rank(argv[2], argv + 3);
  dprintf(2, "usage: shim FORKDIR | shim --rank FORKDIR CMD...\n");
  return 2;
}
