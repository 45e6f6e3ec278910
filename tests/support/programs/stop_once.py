"""Counts the signals of a stop: each is said; after SAVE seconds it says that it saved, and ends with 0."""
import os
import signal
import sys
import time

name = f"rank {os.environ['RANK']}" if "RANK" in os.environ else "root"
save = float(sys.argv[1])
asked = {signal.SIGTERM, signal.SIGINT}
text = f"{name} got SIGUSR1\n".encode()
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, text))
signal.pthread_sigmask(signal.SIG_BLOCK, asked)
print(f"{name} is ready", flush=True)
end = None
while end is None or time.time() < end:
    got = signal.sigtimedwait(asked, 0.05 if end else 3600)
    if got is None:
        continue
    print(f"{name} got {signal.Signals(got.si_signo).name}", flush=True)
    end = end or time.time() + save
print(f"{name} SAVED", flush=True)
