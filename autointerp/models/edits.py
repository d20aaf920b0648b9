"""Changing latents of a coder while the model runs: by how much each is raised, or that it is held at zero.

What the coder does not rebuild (its error) stays in place: the change that the edited latents make to what the coder decodes
is added to the module's output. Where decoding is linear that is `h + s W_dec[f]` (arXiv 2410.13928, appendix G); a coder
that undoes a normalization scales it as it would its own reconstruction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from autointerp.errors import CoderLoadError, NoDecoder, NoHead, UserError
from autointerp.models.coders.coder import SparseActivations, SparseCoder
from autointerp.models.hooks import Tap, hooked
from autointerp.models.subject import SubjectModel


@dataclass(frozen=True)
class Edit:
    """What is done to `latents` of one coder. `raised_by`: how much a factor of 1 adds to the activation of each; `None` holds
    them at zero (by a factor of 1; half of it takes half of what they do)."""

    latents: tuple[int, ...]
    raised_by: tuple[float, ...] | None

    def __post_init__(self) -> None:
        if not self.latents:
            raise UserError("No latent to change: give one at least.")
        if self.raised_by is not None and len(self.raised_by) != len(self.latents):
            raise ValueError(f"{len(self.latents)} latents and {len(self.raised_by)} strengths")

    @property
    def holds_at_zero(self) -> bool:
        return self.raised_by is None


@dataclass
class Passes:
    """Where the forward passes of a generation stand: `n_known` tokens of each row are known, the last of which the next pass
    reads. A pass over q positions reads the last q of them."""

    n_known: int

    def first(self, n_read: int) -> int:
        """Index in its row of the first position that a pass over `n_read` positions reads."""
        return self.n_known - n_read


def check_editable(subject: SubjectModel, coder: SparseCoder) -> None:
    """Raises NoHead where the model writes no text, NoDecoder where the coder's latents change nothing."""
    if subject.unembedding is None:
        raise NoHead(
            f"{subject.name} has no language-model head, so it cannot continue text and cannot be steered. Models that "
            "predict the next token (decoders with an unembedding) can."
        )
    if coder.target is None or coder.W_dec is None:
        raise NoDecoder(
            f"coder {coder.source} has no decoder, so changing its latents changes nothing. Choose one with a decoder."
        )


@contextmanager
def editing(
    subject: SubjectModel,
    coder: SparseCoder,
    edit: Edit,
    factors: Tensor,
    starts: Tensor,
    passes: Passes,
) -> Iterator[None]:
    """Within, forward passes over len(factors) rows have the latents edited: in row r `factors[r]` times, from its position
    `starts[r]` on. `factors` Float32[Tensor, " rows"], `starts` Int64[Tensor, " rows"]."""
    assert coder.target is not None
    target = coder.target
    seen: dict[Tap, Tensor] = {}
    rows = len(factors)

    def act(tap: Tap, tensor: Tensor) -> Tensor | None:
        if tap == coder.tap:
            seen[tap] = tensor if tap == target else tensor.detach().clone()
        if tap != target:
            return None
        if coder.tap not in seen:
            raise CoderLoadError(
                f"coder {coder.source} reads {coder.tap} only after it writes {target}: what it reads there is not known yet"
            )
        by_row = tensor.reshape(rows, -1, tensor.shape[-1])
        first = passes.first(by_row.shape[1])
        position = first + torch.arange(by_row.shape[1], device=tensor.device)
        edited = (position >= starts[:, None]) & (factors != 0)[:, None]
        if not bool(edited.any()):
            return None
        read = seen[coder.tap].reshape(-1, seen[coder.tap].shape[-1])[edited.reshape(-1)].float()
        amount = factors[:, None].expand_as(edited)[edited]
        delta = torch.zeros_like(by_row)
        delta[edited] = change_of_output(coder, edit, read, amount).to(delta.dtype)
        return (by_row + delta).reshape(tensor.shape)

    with hooked(subject.base, [coder.tap, target], act):
        yield


def change_of_output(coder: SparseCoder, edit: Edit, x: Tensor, amount: Tensor) -> Tensor:
    """What the edit adds to the target at n tokens, Float32[Tensor, "n d_out"]. `x` Float32[Tensor, "n d_in"] is what the
    coder reads there, `amount` Float32[Tensor, " n"] the factor of each."""
    latents = torch.tensor(edit.latents, device=x.device).expand(len(x), -1)
    if edit.raised_by is None:
        acts = coder.encode(x)
        values = torch.stack([-acts.of(latent) for latent in edit.latents], dim=1)
    else:
        values = torch.tensor(edit.raised_by, device=x.device).expand(len(x), -1)
    values = values * amount[:, None]
    edited = coder.decode(SparseActivations(values, latents), x)
    return edited - coder.decode(SparseActivations(torch.zeros_like(values), latents), x)


def in_multiples(maxima: Sequence[float], latents: Sequence[int]) -> tuple[float, ...]:
    """What a factor of 1 adds where factors are multiples of each latent's largest activation in the corpus. UserError for a
    latent that never fires: it has none."""
    for latent, largest in zip(latents, maxima, strict=True):
        if not largest > 0:
            raise UserError(
                f"Feature {latent} never fires in this corpus, so it has no maximum to take multiples of. Give the activation "
                "to add instead."
            )
    return tuple(float(largest) for largest in maxima)
