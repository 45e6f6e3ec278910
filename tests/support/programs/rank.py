"""A rank of a real gloo gang: all meet, then rank 3 ends as told.

The others wait for ever, or all end, for exit:0.
"""

import os
import signal
import sys
import time

import torch
import torch.distributed as dist

how = sys.argv[1]
dist.init_process_group("gloo")
rank = dist.get_rank()
print(f"rank {rank} is here", flush=True)
total = torch.ones(1)
dist.all_reduce(total)
assert total.item() == dist.get_world_size()
if how == "exit:0":
    dist.destroy_process_group()
    sys.exit(0)
if rank == 3:
    if how.startswith("exit:"):
        print("rank 3 gives up", file=sys.stderr, flush=True)
        os._exit(int(how.split(":")[1]))
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
while True:
    time.sleep(1)
