"""Where a coder from files reads and writes: what its files say, unless the caller says another hookpoint."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from autointerp.errors import CoderLoadError
from autointerp.models.coders.coder import CoderSpec
from autointerp.models.hooks import Side, Tap
from autointerp.models.subject import SubjectModel


@dataclass(frozen=True)
class Place:
    """`hookpoint`: the module named in the store. `tap`: what is encoded; `target`: what is rebuilt, `None` where that is no
    tensor of the model.

    `tap_gain`, `target_gain` Float32[Tensor, " d"]: what the module's tensor is, component by component, of the one that the
    coder knows. `centred`: the coder knows the tensor without its mean. `notes`: what a reader of the figures has to know.
    """

    hookpoint: str
    tap: Tap
    target: Tap | None
    tap_gain: Tensor | None = None
    target_gain: Tensor | None = None
    centred: bool = False
    notes: tuple[str, ...] = ()


def choose(spec: CoderSpec, subject: SubjectModel, kind: str, own: Callable[[], Place]) -> Place:
    """What `own` reads from the files, or the hookpoint and side of `spec`: its output for an SAE, else from its input to its
    output. `own` raises CoderLoadError where the files do not say, or say something that is not in this model."""
    if spec.hookpoint is None:
        place = own()
        if spec.side in (None, place.tap.side):
            return place
        hookpoint = place.tap.module
    else:
        hookpoint = subject.resolve(spec.hookpoint)
        try:
            place = own()
        except CoderLoadError:
            place = None
        if place is not None and place.hookpoint == hookpoint and spec.side in (None, place.tap.side):
            return place
    is_sae = kind == "sae"
    side: Side = spec.side or ("output" if is_sae else "input")
    tap = Tap(hookpoint, side)
    notes = () if place is None else (f"Read at {tap}, as requested; the coder's files say {place.tap}.",)
    return Place(hookpoint, tap, tap if is_sae else Tap(hookpoint, "output"), notes=notes)
