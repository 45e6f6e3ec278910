"""What a torch DataLoader does: a helper process that dies of a signal makes the main one fail."""
import os
import signal
import sys
import time

stop = False


def ask(_number, _frame):
    global stop
    stop = True


def helper_died(_number, _frame):
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid != 0 and os.WIFSIGNALED(status):
        raise RuntimeError(f"DataLoader worker (pid {pid}) is killed by signal")


child = os.fork()
if child == 0:
    signal.pause()
signal.signal(signal.SIGTERM, ask)
signal.signal(signal.SIGCHLD, helper_died)
print("begins", flush=True)
while not stop:
    time.sleep(0.05)
time.sleep(0.3)
print("saved", flush=True)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
sys.exit(0)
