"""A data loader. Its workers show their frames with LeRobot's visualisation, which says `import rerun`."""

from __future__ import annotations

from typing import Any

import numpy as np
import rerun as rr
import torch
from lerobot.utils import rerun_visualization
from torch.utils.data import DataLoader, Dataset

FRAMES, WORKERS = 60, 2


class Episode(Dataset[Any]):
    """Frames of one episode."""

    def __len__(self) -> int:
        return FRAMES

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return a frame, and show it from the worker that made it."""
        image = np.full((3, 48, 64), index, np.uint8)
        rr.set_time("frame_index", sequence=index)
        rerun_visualization.log_rerun_data(
            observation={"state": np.arange(6) + index, "camera": image}, action={"gripper": float(index)}
        )
        return torch.from_numpy(image)


if __name__ == "__main__":
    rr.init("lerobot", spawn=False)
    setattr(rerun_visualization.log_rerun_data, "blueprint", object())  # noqa: B010 (no viewer, so no blueprint)
    seen = sum(len(batch) for batch in DataLoader(Episode(), batch_size=8, num_workers=WORKERS))
    assert seen == FRAMES
    print("logged", 3 * FRAMES)
