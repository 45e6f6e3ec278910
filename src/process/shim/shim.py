"""The shim where there is no compiler: the twin of shim.c, with the same behaviour; shim.c says why.

shim.py FORKDIR | shim.py --rank FORKDIR CMD… | shim.py --owner NAME
"""
import ctypes
import errno
import os
import signal
import sys
import time

SHIM, CHILD, EXIT, EMPTY, SLOTS = range(5)
SLOT_BYTES, HEAD = 128, 6
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
prctl = ctypes.CDLL(None).prctl
record = -1
record_path = b""
slots = bytearray((b" " * (SLOT_BYTES - 1) + b"\n") * SLOTS)
fence = {"limit": 0, "renewed": 0, "token": b"", "over": False}
fence |= {"to": b"", "ladder": [], "begun": None, "signal": 0}


def keep_record():
    try:
        ours, there = os.fstat(record), os.stat(record_path)
        if os.path.samestat(ours, there) and os.pread(record, len(slots), 0) == slots:
            return
    except OSError:
        pass
    fresh = record_path + b".new"
    try:
        os.makedirs(os.path.dirname(record_path), 0o700, exist_ok=True)
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError:
        return
    try:
        os.pwrite(fd, slots, 0)
        try:
            os.rename(fresh, record_path)
        except IsADirectoryError:
            os.rename(record_path, record_path + b".%d" % wall())
            os.rename(fresh, record_path)
        os.dup2(fd, record, inheritable=False)
    except OSError:
        pass
    os.close(fd)


def line_of(text):
    return text.encode()[: SLOT_BYTES - 1].ljust(SLOT_BYTES - 1) + b"\n"


def fill(file, slot, line):
    try:
        os.pwrite(file, line[1:], slot * SLOT_BYTES + 1)
        os.pwrite(file, line[:1], slot * SLOT_BYTES)
    except OSError:
        pass


def put(slot, text):
    line = line_of(text)
    keep_record()
    slots[slot * SLOT_BYTES : (slot + 1) * SLOT_BYTES] = line
    fill(record, slot, line)


def wall():
    return time.time_ns() // 1_000


def start_time(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return "0"


def read_words(path):
    try:
        with open(path, "rb") as file:
            words = file.read().split(b"\0")[:-1]
    except OSError:
        return None
    return words if len(words) >= HEAD else None


def open_logs(directory, prefix):
    for fd, stream in ((1, b"stdout"), (2, b"stderr")):
        os.makedirs(directory, 0o700, exist_ok=True)
        file = os.open(directory + b"/" + prefix + stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, fd)


def default_signals():
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def as_in_shell(text):
    import resource

    mask, _, limits = text.partition(" ")
    if int(mask) >= 0:
        os.umask(int(mask))
    for limit in limits.split(",")[:-1]:
        which, soft = (int(part) for part in limit.split(":"))
        hard = resource.getrlimit(which)[1]
        if soft < 0 or 0 <= hard < soft:
            soft = hard
        resource.setrlimit(which, (soft, hard))


def failure_code(error, stage):
    return 127 if error == errno.ENOENT and stage == "exec" else 126


def give_up(report, stage, what, error):
    if stage != "logs":
        os.write(2, b"troupe: " + what + b": " + os.strerror(error).encode() + b"\n")
    os.write(report, f"{error} {stage}".encode())
    os._exit(failure_code(error, stage))


def execute(argv, environment, report):
    # os.execvpe tells of the last directory in PATH; the shell, and the C twin, of one that held the file
    searched = environment.get(b"PATH", b"/bin:/usr/bin").split(b":")
    paths = [b""] if b"/" in argv[0] else [p or b"." for p in searched]
    worst = errno.ENOENT
    for path in paths:
        file = os.path.join(path, argv[0])
        try:
            os.execve(file, argv, environment)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                os.execve(b"/bin/sh", [b"/bin/sh", file, *argv[1:]], environment)
            if error.errno == errno.EACCES:
                worst = errno.EACCES
            elif error.errno not in (errno.ENOENT, errno.ENOTDIR):
                worst = error.errno
                break
    give_up(report, "exec", argv[0], worst)


def await_exec(child, report):
    start = start_time(child)
    said = b""
    while True:
        got = os.read(report, 64)
        if not got:
            break
        said += got
    in_cgroup = "c" if said[:1] == b"c" else "-"
    failed = said.lstrip(b"c").decode().split()
    if not failed:
        put(CHILD, f"child {child} {start} {wall()} {in_cgroup}")
        return 0
    put(EXIT, f"failed {failed[0]} {failed[1]} {wall()}")
    return failure_code(int(failed[0]), failed[1])


def held():
    count = os.environ.get("TROUPE_HELD", "")
    return range(3, 3 + int(count)) if count.isdigit() and int(count) < 1024 else range(0)


def say_empty():
    for fd in held():
        os.close(fd)
    put(EMPTY, f"empty {wall()}")


def boot_ms():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def look_at_fence():
    try:
        with open(os.path.dirname(record_path) + b"/fence", "rb") as file:
            limit, first, age, again, *ladder = file.read(256).split()
        if first == again and first != fence["token"] and not fence["begun"]:
            fence.update(token=first, limit=int(limit), renewed=boot_ms() - int(age))
            if ladder:
                steps = [step.split(b":") for step in ladder[0][1:].split(b",")]
                fence.update(to=ladder[0][:1], ladder=[(int(due), int(number)) for due, number in steps])
    except (OSError, ValueError):
        pass
    if fence["limit"] > 0 and boot_ms() - fence["renewed"] >= fence["limit"]:
        fence["over"] = True
    return fence["limit"] > 0


def kill_quietly(kill, target, number=signal.SIGKILL):
    try:
        kill(target, number)
    except OSError:
        pass


def read_stat(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[1]), int(fields[2])
    except (OSError, IndexError, ValueError):
        return 0, 0


def signal_tree(number):
    for name in os.listdir("/proc"):
        above = int(name) if name.isdigit() else 0
        while above > 1 and above != os.getpid():
            above = read_stat(above)[0]
        if above == os.getpid() and int(name) != above:
            kill_quietly(os.kill, int(name), number)


def claim_stop():
    try:
        with open("stopping", "xb") as file:
            file.write(b"shim")
    except FileExistsError:
        return False
    except OSError:
        pass
    return True


def climb(root):
    while fence["begun"] is not False and fence["ladder"]:
        due, number = fence["ladder"][0]
        if boot_ms() - fence["renewed"] < due:
            return
        if fence["begun"] is None:
            fence["begun"] = claim_stop()
            continue
        fence["ladder"].pop(0)
        fence["signal"] = number
        if root > 0 and fence["to"] == b"r":
            kill_quietly(os.kill, root, number)
        else:
            signal_tree(number)


def kill_children(cgroup):
    if cgroup:
        try:
            with open(cgroup + b"/cgroup.kill", "wb") as file:
                file.write(b"1")
        except OSError:
            pass
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        parent, group = read_stat(name)
        if parent != os.getpid():
            continue
        if group > 1 and group != os.getpgrp():
            kill_quietly(os.killpg, group)
        kill_quietly(os.kill, int(name))


def adopted(pid, status):
    try:
        names = os.listdir("ranks")
    except OSError:
        return
    for name in names:
        try:
            file = os.open(f"ranks/{name}", os.O_RDWR)
        except OSError:
            continue
        text = os.pread(file, len(slots), 0)
        child = text[CHILD * SLOT_BYTES : EXIT * SLOT_BYTES].split()
        is_blank = text[EXIT * SLOT_BYTES : EXIT * SLOT_BYTES + 1] == b" "
        if is_blank and child[:2] == [b"child", str(pid).encode()]:
            fill(file, EXIT, line_of(f"exit {status} {wall()} adopted"))
        os.close(file)


def run_worker(directory):
    global record, record_path
    try:
        os.chdir(directory)
        os.mkdir("started", 0o700)
    except OSError:
        return 3
    try:
        os.setsid()
    except OSError:
        pass
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.signal(signal.SIGCONT, lambda _number, _frame: keep_record())
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for fd in held():
        os.set_inheritable(fd, False)
    os.closerange(3 + len(held()), 1024)
    record_path = os.fsencode(directory) + b"/record"
    record = os.open(record_path, os.O_RDWR)
    put(SHIM, f"shim {os.getpid()} {start_time(os.getpid())}")

    words = read_words("exec")
    argc = int(words[5]) if words else 0
    if argc == 0 or len(words) < HEAD + argc:
        put(EXIT, f"failed {errno.EINVAL} setup {wall()}")
        say_empty()
        return 4
    argv = words[HEAD : HEAD + argc]
    environment = dict(word.split(b"=", 1) for word in words[HEAD + argc :])
    said, report = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        default_signals()
        try:
            open_logs(words[1], b"")
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        except OSError as error:
            give_up(report, "logs", b"", error.errno)
        if words[2]:
            try:
                procs = os.open(words[2] + b"/cgroup.procs", os.O_WRONLY)
                os.write(procs, b"0")
                os.write(report, b"c")
            except OSError:
                pass
        try:
            os.chdir(words[0])
        except OSError as error:
            give_up(report, "chdir", words[0], error.errno)
        if "TROUPE_SHELL" in os.environ:
            as_in_shell(os.environ["TROUPE_SHELL"])
        execute(argv, environment, report)
    os.close(report)
    failed = await_exec(child, said)

    root = 0 if failed else child

    def tick(_number, _frame):
        look_at_fence()
        climb(root)
        if fence["over"]:
            kill_children(words[2])
            signal.setitimer(signal.ITIMER_REAL, 0.005)

    if look_at_fence():
        signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, 0.25, 0.25)
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            break
        if ended == root:
            put(EXIT, f"exit {status} {wall()}{' fence' if fence['over'] or fence['begun'] else ''}")
            root = 0
            if fence["begun"] and fence["to"] == b"r":
                signal_tree(fence["signal"])
        else:
            adopted(ended, status)
    signal.setitimer(signal.ITIMER_REAL, 0)
    say_empty()
    return 0


def say_told(number):
    asked = os.environ.get("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "")
    fits = asked.isascii() and asked.isdigit() and len(asked) < 10
    put(EMPTY, f"told {number} {wall()} {asked if fits else 30}")


def run_rank(directory, argv):
    global record, record_path
    rank = os.environ.get("RANK") or "0"
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0"
    path = f"{directory}/ranks/{os.environ.get('LOCAL_RANK') or '0'}.{restart}"
    words = read_words(f"{directory}/exec")
    try:
        record_path = os.fsencode(path)
        record = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(record, slots, 0)
        assert words
    except (OSError, AssertionError) as error:
        os.write(2, f"troupe: rank {rank}: cannot use {path}: {error}\n".encode())
        return 126
    put(SHIM, f"shim {os.getpid()} {start_time(os.getpid())} {rank}")
    prefix = (f"r{rank}-" if restart == "0" else f"r{rank}.{restart}-").encode()

    leader = os.getpgrp() == os.getpid()
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    passed = [getattr(signal, name) for name in names]
    awaited = {signal.SIGCHLD, *passed}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    said, report = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(126)
        default_signals()
        try:
            open_logs(words[1], prefix)
        except OSError as error:
            give_up(report, "logs", b"", error.errno)
        execute([os.fsencode(word) for word in argv], dict(os.environb), report)
    os.close(report)
    failed = await_exec(child, said)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        told = signal.sigwaitinfo(awaited)
        if told.si_signo == signal.SIGCHLD:
            continue
        if told.si_pid == os.getppid():
            say_told(told.si_signo)
        if not leader:
            kill_quietly(os.kill, child, told.si_signo)
    if failed:
        return failed
    put(EXIT, f"exit {status} {wall()}")
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    for number in passed:
        signal.signal(number, signal.SIG_IGN)
    default_signals()
    os.kill(os.getpid(), os.WTERMSIG(status))
    return 128 + os.WTERMSIG(status)


def say_owner(name):
    import socket
    import struct

    for text in (("\0" + name).ljust(108, "\0"), "\0" + name):
        asked = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        asked.setblocking(False)
        try:
            asked.connect(text)
            print(struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
            return 0
        except BlockingIOError:
            print("?")
            return 0
        except OSError:
            asked.close()
    return 1


def main(argv):
    if len(argv) == 3 and argv[1] == "--owner":
        return say_owner(argv[2])
    if len(argv) == 2 and not argv[1].startswith("-"):
        return run_worker(argv[1])
    if len(argv) > 3 and argv[1] == "--rank":
        return run_rank(argv[2], argv[3:])
    os.write(2, b"usage: shim.py FORKDIR | shim.py --rank FORKDIR CMD...\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv))
