"""How fast a job goes, as it is shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.jobs.rate import Rate


@given(gap=st.floats(0.01, 600), beat=st.floats(0.5, 2), items=st.integers(2, 60))
def test_a_steady_job_has_its_rate_however_slow(gap: float, beat: float, items: int) -> None:
    """Finished items are counted at heartbeats, and so up to one too late."""
    rate = Rate(0.0)
    for now in np.arange(beat, items * gap + beat, beat).tolist()[:1_500]:
        shown = rate.update(now, int(now / gap))
        if now < gap:
            assert shown is None
        elif now > gap + 2 * beat:
            counted = min(now, max(30.0, 10 * gap, gap))
            assert shown == pytest.approx(1 / gap, rel=3 * beat / counted + 3 * gap * (gap < beat) / counted)


def test_a_job_that_hangs_slows_down() -> None:
    rate, shown = Rate(0.0), None
    for now in range(1, 101):
        shown = rate.update(now, now)
    assert shown == pytest.approx(1)
    assert rate.update(140, 100) == pytest.approx(11 / 50), "of the last ten"
    assert (rate.update(10_000, 100) or 1) < 0.01
    assert (rate.update(10_001, 101) or 1) < 0.01, "and picks up as slowly"


def test_a_slow_start_is_forgotten() -> None:
    """Models are loaded before the first item: ten items later nothing is left of it, nor of a stall."""
    rate = Rate(0.0)
    for done, stall in ((0, 600), (200, 1_000)):
        for i in range(1, 200):
            shown = rate.update(stall + i, done + i)
            if i > 11:
                assert shown == pytest.approx(1)


def test_items_that_finish_together_have_one_rate() -> None:
    """Such as the 64 texts of a batch."""
    rate = Rate(0.0)
    for now in range(1, 1_000):
        shown = rate.update(now, now // 45 * 64)
        if now > 45:
            assert shown == pytest.approx(64 / 45)
