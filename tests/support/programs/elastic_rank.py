"""A rank that says which world it is in, and ends well in a world of one."""

import os
import time

world = int(os.environ["WORLD_SIZE"])
print(f"ready rank {os.environ['RANK']} of {world}", flush=True)
if world > 1:
    time.sleep(600)
