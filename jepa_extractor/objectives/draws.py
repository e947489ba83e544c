"""Random numbers of a loss: the same until the next update, and the same again after a training is resumed."""

import numpy as np
import torch
from torch import nn


class Draws(nn.Module):
    """A generator that depends on nothing but the number of updates, which is saved with the model.

    So a loss that draws changes nothing when it is computed, and global generators are not touched.
    """

    def __init__(self) -> None:
        super().__init__()
        self.updates = 0

    def generator(self) -> torch.Generator:
        """Return a new generator on the CPU, equal to all others of the same update."""
        seed = np.random.SeedSequence(self.updates).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(seed) >> 1)

    def update(self) -> None:
        """Go on to the draws of the next update."""
        self.updates += 1

    def get_extra_state(self) -> torch.Tensor:
        """Return the number of updates, for ``state_dict``."""
        return torch.tensor(self.updates)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Take over what ``get_extra_state`` of another returned."""
        self.updates = int(state)
