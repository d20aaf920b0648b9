"""How fast a job goes."""

from collections import deque

SECONDS = 30.0
ITEMS = 10


class Rate:
    """Items per second over the last `SECONDS`, or over the last `ITEMS` items where these took longer. Times are those of one
    clock, in seconds."""

    def __init__(self, now: float):
        self._changes = deque([(now, 0)])
        """When the number of finished items was first seen to be so."""

    def update(self, now: float, finished: int) -> float | None:
        """With so many items finished in all; `None` before the first."""
        changes = self._changes
        if finished > changes[-1][1]:
            changes.append((now, finished))
        while len(changes) > 2 and now - changes[0][0] > SECONDS and finished - changes[1][1] >= ITEMS:
            changes.popleft()
        (start, before), (last, after) = changes[0], changes[-1]
        if after == before or last <= start:
            return None
        # The next items, as many as came at once the last time, are not finished yet: where they are late, the rate falls.
        coming = after - changes[-2][1]
        return min((after - before) / (last - start), (after - before + coming) / max(now - start, 1e-9))
