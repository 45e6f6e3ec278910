"""Writes what is hard to carry: lines of 1 MB, binary bytes, and no newline at the end.

usage: flood.py SEED BYTES
"""

import random
import sys

seed, left = int(sys.argv[1]), int(sys.argv[2])
source = random.Random(seed)
out = sys.stdout.buffer
out.write(b"x" * 1_000_000 + b"\n")
while left > 0:
    piece = source.randbytes(min(left, source.choice([10, 1000, 65_536])))
    out.write(piece)
    left -= len(piece)
out.write(b"the end, with no newline")
out.flush()
