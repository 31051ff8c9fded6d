"""Two sequences, and how few changes make one of the other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Matching:
    """errors: substitutions, insertions and deletions; pairs: (index in wanted, index in found) of equal items."""

    errors: int
    pairs: tuple[tuple[int, int], ...]


def match(wanted: Sequence[Hashable], found: Sequence[Hashable]) -> Matching:
    """The alignment with the fewest errors (Levenshtein)."""
    rows, columns = len(wanted) + 1, len(found) + 1
    cost = np.zeros((rows, columns), np.int64)
    cost[:, 0], cost[0] = np.arange(rows), np.arange(columns)
    for i, item in enumerate(wanted, start=1):
        for j, other in enumerate(found, start=1):
            cost[i, j] = min(cost[i - 1, j - 1] + (item != other), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    pairs = []
    i, j = rows - 1, columns - 1
    while i and j:
        same = wanted[i - 1] == found[j - 1]
        if cost[i, j] == cost[i - 1, j - 1] + (not same):
            i, j = i - 1, j - 1
            if same:
                pairs.append((i, j))
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return Matching(int(cost[-1, -1]), tuple(reversed(pairs)))
