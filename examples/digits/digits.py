"""What trainer and evaluator share: the data, split once and for all, and the network."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn


def load_digits_split() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images and labels, test images and labels. The split is fixed, whatever the seed of a training; 359 images are for the test."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    images = torch.tensor(data.images[order] / 16.0, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(data.target[order], dtype=torch.long)
    cut = len(order) // 5
    return images[cut:], labels[cut:], images[:cut], labels[:cut]


def make_network() -> nn.Module:
    """A small convolutional network for 8 x 8 images, about 23,000 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 16, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )
