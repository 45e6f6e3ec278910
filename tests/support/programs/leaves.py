"""The root ends with 0 once what it leaves running is ready; nothing is left of that after an hour.

leaves.py MODE [ARG]
"""
import ctypes
import os
import signal
import sys
import time

MODE, ARG = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
FOREVER = 3600
reading, writing = os.pipe()


def ready():
    os.write(writing, b"x")


def erase_arguments():
    """What a program that renames itself to nothing does: argv is overwritten in place."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    ctypes.memset(start, 0, end - start)


def wait_for_term():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ready()
    signal.sigwait({signal.SIGTERM})


def helper():
    if MODE == "ignores":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif MODE == "handles":
        wait_for_term()
        os._exit(0)
    elif MODE == "finishes":
        # a handler that goes on: the work ends by itself
        wait_for_term()
        time.sleep(float(ARG))
        os._exit(0)
    elif MODE == "named":
        # the pipe's end closes with the exec: that is its word
        os.execv("/bin/sleep", [ARG, str(FOREVER)])
    elif MODE == "nameless":
        erase_arguments()
    elif MODE == "soon":
        ready()
        time.sleep(float(ARG))
        os._exit(0)
    elif MODE == "zombie":
        # its child has ended, and it does not wait for it
        if os.fork() == 0:
            os._exit(0)
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    ready()
    time.sleep(FOREVER)
    os._exit(0)


count = int(ARG) if MODE == "many" else 1
for _ in range(count):
    if os.fork() == 0:
        if MODE == "session":
            os.setsid()
            if os.fork():
                os._exit(0)
        helper()
os.close(writing)
for _ in range(count):
    os.read(reading, 1)
print("main done", flush=True)
