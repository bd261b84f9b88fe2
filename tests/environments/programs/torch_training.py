"""A training script with workers of a DataLoader, each of which logs."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import rerun_mp as rr
from rerun_mp.integrations.torch import worker_init_fn

SAMPLES, EPOCHS, BATCH = 64, 2, 16


class Waves(Dataset[Any]):
    """Points of a wave."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a point, and log it from the worker."""
        x = torch.tensor([index / SAMPLES])
        rr.set_time("sample", sequence=index)
        rr.log("sample", rr.Scalars(float(x)))
        return x, torch.sin(x)


if __name__ == "__main__":
    rr.init("torch_training", send_properties=False)
    rr.save(sys.argv[1])
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_series = rr.series("train/loss")
    steps = 0
    for _ in range(EPOCHS):
        for x, y in DataLoader(Waves(), batch_size=BATCH, num_workers=2, worker_init_fn=worker_init_fn):
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rr.set_time("step", sequence=steps)
            loss_series(loss.item())
            rr.log("train/weight", rr.Tensor(model.weight.detach().numpy()))
            steps += 1
    # Each worker of each epoch labels itself with one row.
    print("logged", EPOCHS * SAMPLES + 2 * steps + 2 * EPOCHS)
