"""Programs that are hard to end or to tell apart, by name. Real processes of tests; Python needs no compiler.

misbehave.py NAME [ARG…]

A program says that it is ready when it can be signalled. A handler of Python runs between two of its steps:
a signal just before a sleep is seen only after it. So a program that answers a signal blocks it and waits
for it.
"""
import ctypes
import os
import signal
import socket
import sys
import time

FOREVER = 3600


def daemonize():
    """The classic double fork: the grandchild's parent is gone at once."""
    if os.fork():
        os.wait()
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True


def say(text):
    print(text, flush=True)


def erase_arguments():
    """What setproctitle does: argv and the environment behind it are overwritten in place."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[48])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, b"ray::worker", 11)


def refork(leave):
    """A new process every 2 ms; the old one ends. With `leave` each begins a session of its own."""
    while True:
        if leave:
            os.setsid() if os.getsid(0) != os.getpid() else None
        time.sleep(0.002)
        if os.fork():
            os._exit(0)


def main(name, *args):
    if name == "exit":
        sys.exit(int(args[0]))
    elif name == "sleep":
        say("ready")
        time.sleep(FOREVER)
    elif name == "signal-self":
        os.kill(os.getpid(), getattr(signal, args[0]))
        time.sleep(FOREVER)
    elif name == "segv":
        ctypes.string_at(0)
    elif name == "ignore-term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("ready")
        time.sleep(FOREVER)
    elif name == "on-term-exit":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        say("ready")
        signal.sigwait({signal.SIGTERM})
        os._exit(int(args[0]))
    elif name == "double-fork":
        if daemonize():
            say(f"daemon {os.getpid()}")
        time.sleep(FOREVER)
    elif name == "leave-daemon":
        # the root ends, its daemon stays, also through a SIGTERM that comes at once
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if daemonize():
            say(f"daemon {os.getpid()}")
            time.sleep(FOREVER)
        sys.exit(int(args[0]))
    elif name == "setsid":
        if os.fork() == 0:
            os.setsid()
            say(f"child {os.getpid()}")
        time.sleep(FOREVER)
    elif name == "family":
        # a child in the group, one in a group and one in a session of its own, and a daemon
        for step in (lambda: None, lambda: os.setpgid(0, 0), os.setsid):
            if os.fork() == 0:
                step()
                say(f"child {os.getpid()}")
                time.sleep(FOREVER)
        if daemonize():
            say(f"daemon {os.getpid()}")
        time.sleep(FOREVER)
    elif name == "setproctitle":
        erase_arguments()
        say("ready")
        time.sleep(FOREVER)
    elif name == "no-environment":
        if os.fork() == 0:
            os.setsid()
            os.execve(sys.executable, [sys.executable, __file__, "sleep"], {})
        time.sleep(FOREVER)
    elif name in ("refork", "refork-setsid"):
        if os.fork():
            say("ready")
            time.sleep(FOREVER)
        refork(name == "refork-setsid")
    elif name == "truncate-stderr":
        os.write(2, b"first\n" * 100)
        with open("/dev/stderr", "w") as file:
            file.write("x\n")
        os.write(2, b"last\n")
    elif name == "state":
        # everything a child could inherit by mistake
        say(f"stdin {os.readlink('/proc/self/fd/0')}")
        paths = {n: f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd") if int(n) > 2}
        open_there = [
            n for n, path in paths.items() if os.path.exists(path) and "/proc/" not in os.readlink(path)
        ]
        say("fds " + " ".join(sorted(open_there)))
        with open("/proc/self/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        say(f"ignored {status['SigIgn'].strip()} blocked {status['SigBlk'].strip()}")
        say(f"session {os.getsid(0) == os.getpid()} group {os.getpgrp() == os.getpid()}")
        say(f"cwd {os.getcwd()}")
    elif name == "listen":
        # binds the port that it was given, says so, and serves nothing
        listener = socket.socket()
        listener.bind(("0.0.0.0", int(os.environ["TROUPE_PORT_0"])))
        listener.listen()
        say("listening")
        time.sleep(FOREVER)
    elif name == "fill-disk":
        block = b"x" * 65536
        try:
            while True:
                os.write(1, block)
        except OSError as error:
            sys.exit(error.errno)
    else:
        sys.exit(f"no such program: {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
