"""On SIGTERM it says that it saved, on a stream and after some seconds, and ends with 0 at once.

saves.py STREAM SECONDS [WORDS]: nothing is said where the words are empty. It says the same when it begins.
"""
import os
import signal
import sys

stream = sys.stdout if sys.argv[1] == "stdout" else sys.stderr
words = sys.argv[3] if len(sys.argv) > 3 else "checkpoint saved"
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("checkpoint saved", file=stream, flush=True)
print("is ready", flush=True)
signal.sigwait({signal.SIGTERM})
signal.sigtimedwait({signal.SIGUSR2}, float(sys.argv[2]))
os.write(stream.fileno(), words.encode())
os._exit(0)
