"""How the roots of programs that others wrote behave when they are asked to end, each as small as it goes.

foreign.py MODE [SOCKET]
"""
import os
import signal
import socket
import sys
import time

TERM = signal.SIGTERM


def say(text):
    os.write(1, f"{text}\n".encode())


def fork(child):
    """A child without a handler, which dies of TERM. @returns its pid and our end of its socket"""
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {TERM})
        child(its)
        os._exit(0)
    its.close()
    return pid, ours


def counts(name):
    """It ends when no second TERM has come for a second, and says how many there were."""
    signal.sigwait({TERM})
    times = 1
    while signal.sigtimedwait({TERM}, 1):
        times += 1
    say(f"{name} TERM {times}")
    os._exit(0)


def answer(connection):
    while True:
        asked = connection.recv(100)
        if asked in (b"", b"close"):
            return
        connection.sendall(b"done")


def ended_by(pid):
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def ask(connection, order):
    """@returns whether there was an answer"""
    try:
        connection.sendall(order)
        return connection.recv(100) != b""
    except OSError:
        return False


def ray():
    """The head drains by asking the server below it, and closes that at the end."""
    server, connection = fork(answer)
    say("is ready")
    signal.sigwait({TERM})
    # the server may be about to die of the same signal
    time.sleep(0.2)
    if not ask(connection, b"drain"):
        sys.exit("RpcError: Timed out while waiting for GCS")
    connection.sendall(b"close")
    os.waitpid(server, 0)
    say("drained")


def dask():
    """The nanny closes its worker, and reports one that died by another hand."""
    worker, connection = fork(answer)
    say("is ready")
    signal.sigwait({TERM})
    time.sleep(0.2)
    try:
        connection.sendall(b"close")
    except OSError:
        pass
    by = ended_by(worker)
    if by is not None:
        sys.exit(f"Worker process {worker} was killed by signal {by}")
    say("worker closed by its nanny")


def mpirun():
    """It forwards the signal to each of its ranks, which stand in groups of their own."""
    ranks = []
    for number in range(2):
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            counts(f"rank {number}")
        ranks.append(pid)
    say("is ready")
    signal.sigwait({TERM})
    time.sleep(0.2)
    for pid in ranks:
        os.kill(pid, TERM)
    for pid in ranks:
        os.waitpid(pid, 0)


def postgres():
    """A smart shutdown: no new client, and those that are there are served to their end."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[2])
    server.listen()
    say("is ready")
    client = server.accept()[0]

    def backend(_):
        client.recv(100)
        say("serving")
        client.recv(100)
        client.sendall(b"one row")

    pid, _ = fork(backend)
    client.close()
    signal.sigwait({TERM})
    server.close()
    say("waits for its clients")
    by = ended_by(pid)
    if by is not None:
        sys.exit(f"server process (PID {pid}) was terminated by signal {by}")
    say("shut down")


def double_fork():
    """What it starts is no child of it and stands in a session of its own; it ends without a word to that."""
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        say("is ready")
        counts("daemon")
    os.wait()
    signal.sigwait({TERM})
    say("root ends")


def ignores():
    signal.signal(TERM, signal.SIG_IGN)
    fork(answer)
    say("is ready")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {TERM})
    while True:
        signal.pause()


# before there is a child: none of them can be told too early
signal.pthread_sigmask(signal.SIG_BLOCK, {TERM})
{
    "ray": ray,
    "dask": dask,
    "mpirun": mpirun,
    "postgres": postgres,
    "double-fork": double_fork,
    "ignores": ignores,
}[sys.argv[1]]()
