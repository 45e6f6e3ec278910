"""A training with torch's own DataLoader and its worker processes; a handler asks the loop to save."""
import signal
import sys
import time

from torch.utils.data import DataLoader, Dataset

stop = False


class Numbers(Dataset):
    def __len__(self):
        return 1_000_000

    def __getitem__(self, index):
        time.sleep(0.01)
        return index


def ask(_number, _frame):
    global stop
    stop = True


signal.signal(signal.SIGTERM, ask)
for step, batch in enumerate(DataLoader(Numbers(), batch_size=8, num_workers=2)):
    if step == 0:
        print("begins", flush=True)
    # longer than it takes to notice that a worker of the loader is dead
    time.sleep(0.2)
    if stop:
        print("saved", flush=True)
        sys.exit(0)
