"""Data-parallel training on the 1,797 handwritten digits that scikit-learn carries.

Started by torchrun: 2 nodes x 2 processes with gloo, on CPU. Rank 0 sends each epoch's checkpoint to the
evaluator role, whose address came in EVALUATOR_URL; without one nobody scores. Epoch 0 is the untrained network.
"""

import argparse
import io
import os
import time
import urllib.request

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from digits import load_digits_split, make_network


def send_checkpoint(url: str, epoch: int, network: nn.Module, last: bool) -> str:
    """POST a checkpoint to the evaluator and return its answer (one line). Scoring is idempotent, so a lost answer is asked again."""
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    request = urllib.request.Request(f"{url}/score?epoch={epoch}&last={int(last)}", data=buffer.getvalue(), method="POST")
    for attempt in range(3):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read().decode().strip()
        except OSError:
            if attempt == 2:
                raise
            time.sleep(1)
    raise AssertionError("unreachable")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to rest after each epoch (for tests of faults)")
    options = parser.parse_args()

    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(options.seed)  # the same weights on every rank
    network = make_network()
    model = DistributedDataParallel(network)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    loss_of = nn.CrossEntropyLoss()
    train_x, train_y, _, _ = load_digits_split()
    url = os.environ.get("EVALUATOR_URL")
    print(f"rank {rank} of {world} on node rank {os.environ['GROUP_RANK']}: {len(train_x)} training images", flush=True)

    if rank == 0 and url:
        print(f"epoch 0: {send_checkpoint(url, 0, network, options.epochs == 0)}", flush=True)
    for epoch in range(1, options.epochs + 1):
        # one permutation for all ranks, each takes its own share, as many batches on each
        order = np.random.default_rng([options.seed, epoch]).permutation(len(train_x))
        share = order[: len(order) // world * world][rank::world]
        total = 0.0
        for start in range(0, len(share), options.batch):
            index = share[start : start + options.batch]
            optimizer.zero_grad()
            loss = loss_of(model(train_x[index]), train_y[index])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        print(f"epoch {epoch}: mean loss {total / len(share):.4f}", flush=True)
        if rank == 0 and url:
            print(f"epoch {epoch}: {send_checkpoint(url, epoch, network, epoch == options.epochs)}", flush=True)
        dist.barrier()
        if options.pause:
            time.sleep(options.pause)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
