"""Whether a module's output contains the residual stream, found by running it."""

from typing import Any

import torch
from torch import Tensor, nn

from autointerp.models.copies import differ, tensors_of, with_first_copy
from autointerp.models.hooks import Tap, output_tensor
from autointerp.models.subject import SubjectModel

N_TOKENS = 8


@torch.inference_mode()
def residual_argument(subject: SubjectModel, target: Tap) -> int | str | None:
    """The argument of the target's module that its output contains as it is, by position or name: the residual stream of a
    block, or of an MLP that adds it itself (BLOOM). `None` where it contains none."""
    module = subject.base.get_submodule(target.module)
    inside = [each for each in module.modules() if any(p.ndim >= 2 for p in each.parameters(recurse=False))]
    n = min(N_TOKENS, subject.max_ctx_len or N_TOKENS)
    ids = (torch.arange(n, device=subject.device) % subject.vocab_size).repeat(2, 1)
    given: dict[int | str, Tensor] = {}
    outputs: dict[int | str | None, Tensor] = {}
    changed: int | str | None = None

    def before(_m: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        everything: dict[int | str, Any] = {**dict(enumerate(args)), **kwargs}
        if changed is None:
            given.update(
                {key: x for key, x in everything.items() if isinstance(x, Tensor) and x.is_floating_point()}
            )
        else:
            x = everything[changed].clone()
            half = x.view(2, -1, *x.shape[1:])[1]
            half += torch.linspace(-1, 1, half.shape[-1], device=x.device, dtype=x.dtype) * half.float().std()
            everything[changed] = x
        return tuple(everything[i] for i in range(len(args))), {key: everything[key] for key in kwargs}

    def after(_m: nn.Module, _args: tuple, output: Any) -> None:
        outputs[changed] = output_tensor(target, output)

    def hold(_m: nn.Module, _args: tuple, output: Any) -> Any:
        return with_first_copy(output, 2) if any(differ(tensor) for tensor in tensors_of(output)) else None

    handles = [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after),
    ]
    try:
        subject.base(input_ids=ids)
        handles += [each.register_forward_hook(hold) for each in inside if each is not module]
        for key in [key for key, x in given.items() if x.shape == outputs[None].shape]:
            changed = key
            subject.base(input_ids=ids)
            x, half = given[key], outputs[key].view(2, -1, *outputs[key].shape[1:])
            put = (
                torch.linspace(-1, 1, x.shape[-1], device=x.device, dtype=x.dtype)
                * x.view(2, -1, *x.shape[1:])[1].float().std()
            )
            if float((half[1] - half[0] - put).norm()) < 0.05 * float(put.expand_as(half[0]).norm()):
                return key
    finally:
        for handle in handles:
            handle.remove()
    return None
