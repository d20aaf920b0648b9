"""Running a model with one of its tensors replaced, from the replaced layer on."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from autointerp.models.hooks import Tap, hooked
from autointerp.models.residual import residual_argument
from autointerp.models.resume import giving, layers_before
from autointerp.models.subject import SubjectModel


class Splicer:
    """Forward passes of a causal model with the tensor at `target` replaced.

    What runs before the target's layer does not change, so those layers are not run again: they give what they gave in the
    clean pass. That this leaves the logits as they are is tried on the first rows; where it does not (layers that share a
    module, or pass something else on), whole passes are run.
    """

    def __init__(self, subject: SubjectModel, target: Tap):
        self.subject, self.target = subject, target
        self.residual = residual_argument(subject, target) if target.side == "output" else None
        """Which argument of the module its output contains as it is: the residual stream. `None` where it contains none."""
        self._before = layers_before(subject, target.module)
        self._recorded: dict[str, Any] = {}
        self._tried = not self._before
        self.skipped: Tensor | None = None
        """The residual stream that went into the target's module in the clean pass, [batch, ctx_len, width]."""

    @property
    def share_of_layers(self) -> float:
        """The share of the base model's weights that a spliced pass runs."""
        whole = sum(weight.numel() for weight in self.subject.base.parameters())
        before = {id(w): w.numel() for name in self._before for w in self.subject.modules[name].parameters()}
        return 1 - sum(before.values()) / max(1, whole)

    @contextmanager
    def recording(self, shape: torch.Size) -> Iterator[None]:
        """Within, a forward pass over ids of `shape` is the clean pass that spliced ones start from."""
        modules = self.subject.modules
        with ExitStack() as stack:
            for name in self._before:
                handle = modules[name].register_forward_hook(
                    lambda _m, _a, output, name=name: self._recorded.__setitem__(
                        name, _repeated(output, 1, shape)
                    )
                )
                stack.callback(handle.remove)
            if self.residual is not None:

                def keep(_m: nn.Module, args: tuple, kwargs: dict) -> None:
                    given = {**dict(enumerate(args)), **kwargs}[self.residual]
                    self.skipped = given.reshape(*shape, -1).clone()

                handle = modules[self.target.module].register_forward_pre_hook(keep, with_kwargs=True)
                stack.callback(handle.remove)
            yield

    def logits(self, ids: Tensor, replacements: Sequence[Tensor]) -> Iterator[Tensor]:
        """For each of `replacements` Float[Tensor, "batch ctx_len width"], the logits with the target replaced by it,
        Float[Tensor, "batch ctx_len vocab"]; `ids` are those of the clean pass."""
        m = len(replacements)
        stacked = torch.cat(list(replacements))
        inputs = self.subject.inputs(ids.repeat(m, 1))
        with ExitStack() as stack:
            for name in self._before:
                output = _repeated(self._recorded[name], m, ids.shape)
                stack.enter_context(
                    giving(self.subject.modules[name], lambda *_args, output=output, **_kwargs: output)
                )
            stack.enter_context(
                hooked(self.subject.base, [self.target], lambda _, x: stacked.to(x.dtype).reshape(x.shape))
            )
            yield from self.subject.model(**inputs).logits.chunk(m)

    def check(self, ids: Tensor, truth: Tensor, clean: Tensor) -> None:
        """Run whole passes from now on if one from the target's layer on, with `truth` in its place, gives other logits than
        the `clean` ones."""
        if self._tried:
            return
        self._tried = True
        try:
            [again] = self.logits(ids, [truth])
        except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError):
            self._before = []
            return
        if float((again - clean).abs().max()) > 1e-2 * float(clean.std()):
            self._before = []


def _repeated(output: Any, times: int, shape: torch.Size) -> Any:
    """A module's output for `times` copies of a batch of this shape, side by side."""
    if isinstance(output, Tensor):
        batched = output.ndim and len(output) in (shape[0], shape.numel())
        return output.repeat(times, *[1] * (output.ndim - 1)) if batched else output
    if isinstance(output, tuple) and type(output) is tuple:
        return tuple(_repeated(each, times, shape) for each in output)
    if isinstance(output, list):
        return [_repeated(each, times, shape) for each in output]
    return output
