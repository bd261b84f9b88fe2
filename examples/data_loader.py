"""PyTorch's DataLoader: its workers log the samples that they load. One worker is killed, and no row is lost.

    pip install torch
    python examples/data_loader.py --out loader.rrd

The samples are patches of scikit-image's pictures. Workers log each patch and the time to make it; the training process
logs the mean of each batch.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
import torch.utils.data
from ledger import Ledger, compare

import rerun_mp as rr
from rerun_mp.integrations.torch import named

SIZE = 64
WORKERS = 3
KILLED_AT = 150


class Patches(torch.utils.data.Dataset[torch.Tensor]):
    """Random patches of a picture. The workers make them."""

    def __init__(self, directory: str, length: int, killed_at: int | None) -> None:
        self._directory = directory
        self._length = length
        self._killed_at = killed_at
        self._ledger: Ledger | None = None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> torch.Tensor:
        if self._ledger is None:
            info = torch.utils.data.get_worker_info()
            assert info is not None
            self._ledger = Ledger(self._directory, f"loader_{info.id}")
        begin = time.perf_counter()
        picture = skimage.data.astronaut()
        x, y = np.random.default_rng(index).integers(0, picture.shape[0] - SIZE, 2)
        patch = np.ascontiguousarray(picture[x : x + SIZE, y : y + SIZE])
        rr.set_time("sample", sequence=index)
        self._ledger.log("patch", rr.Image(patch))
        self._ledger.log("milliseconds", rr.Scalars(1e3 * (time.perf_counter() - begin)))
        if index == self._killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.tensor(patch.tolist(), dtype=torch.float32)


def epoch(directory: str, number: int, killed_at: int | None) -> None:
    """Load all samples once."""
    loader = torch.utils.data.DataLoader(
        Patches(directory, 300, killed_at), batch_size=10, num_workers=WORKERS, worker_init_fn=named(None)
    )
    for step, batch in enumerate(loader):
        rr.set_time("batch", sequence=30 * number + step)
        rr.log("train/mean", rr.Scalars(float(batch.mean())))


def main() -> None:
    """Train for two epochs. One worker kills itself in the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("loader.rrd"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rr.init("rerun_mp_data_loader")
        rr.save(arguments.out)
        try:
            epoch(directory, 0, KILLED_AT)
        except RuntimeError as error:
            print(f"PyTorch says: {str(error).splitlines()[0]}")
        epoch(directory, 1, None)
        rr.disconnect()
        compare(directory, arguments.out)


if __name__ == "__main__":
    main()
