"""A model run from the replaced layer on gives what a whole run gives; what a module returned is read before it is changed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.caching.splice import Splicer
from autointerp.models.hooks import Tap, hooked
from autointerp.models.subject import load_subject
from tests.models import zoo
from tests.models.tiny import save_tokenizer

IDS = torch.arange(5, 53).view(4, 12)
CONTAINED = {
    "GPT-2": (0, None),
    "BLOOM": (0, 1),
    "MPT": (0, 1),
    "Llama": (0, None),
    "OPT with projections": (None, None),
}
"""The argument that a block's and an MLP's output contains as it is; a post-norm block's output does not."""


@pytest.mark.parametrize(
    "name", [name for name in zoo.ARCHITECTURES if name not in (*zoo.ENCODERS, *zoo.REFUSED)]
)
def test_from_the_layer_on_is_as_a_whole_run(name: str, tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "t")
    subject = load_subject(str(zoo.save(name, tmp_path / "m", tmp_path / "t")))
    architecture = zoo.ARCHITECTURES[name]
    for number, hookpoint in enumerate(point for point in (architecture.block, architecture.mlp) if point):
        tap = Tap(hookpoint, "output")
        splicer = Splicer(subject, tap)
        assert splicer.share_of_layers < 0.8
        if name in CONTAINED:
            assert splicer.residual == CONTAINED[name][number]
        truth = subject.read([tap], IDS)[tap]
        with torch.inference_mode():
            with splicer.recording(IDS.shape):
                clean = subject.model(input_ids=IDS).logits
            splicer.check(IDS, truth, clean)
            assert splicer.share_of_layers < 0.8  # the check found nothing against it
            zero = torch.zeros_like(truth)
            same, zeroed = splicer.logits(IDS, [truth, zero])
            with hooked(subject.base, [tap], lambda _, x: torch.zeros_like(x)):
                wanted = subject.model(input_ids=IDS).logits
            again = subject.model(input_ids=IDS).logits
        torch.testing.assert_close(same, clean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(zeroed, wanted, rtol=1e-4, atol=1e-4)
        assert torch.equal(again, clean)  # nothing is left behind


def test_where_whole_runs_are_needed_they_are_run(tmp_path: Path) -> None:
    """The first layer passes something on to the last beside its output."""
    subject = load_subject(str(zoo.save("GPT-2", tmp_path / "m")))
    seen: list[torch.Tensor] = []

    def scaled(_m: object, _a: object, output: Any) -> Any:
        return output * (1 + 0.1 * seen[-1])

    handles = [
        subject.modules["h.0.mlp"].register_forward_hook(lambda _m, _a, output: seen.append(output.sum())),
        subject.modules["h.1"].register_forward_hook(scaled),
    ]
    tap = Tap("h.1.mlp", "output")
    splicer = Splicer(subject, tap)
    truth = subject.read([tap], IDS)[tap]
    with torch.inference_mode():
        with splicer.recording(IDS.shape):
            clean = subject.model(input_ids=IDS).logits
        seen.append(torch.tensor(5.0))  # left behind by another pass
        splicer.check(IDS, truth, clean)
    assert splicer.share_of_layers == 1
    for handle in handles:
        handle.remove()


def test_what_is_read_is_what_the_module_returned(tmp_path: Path) -> None:
    """Falcon adds the attention's output to the MLP's in place."""
    subject = load_subject(str(zoo.save("Falcon", tmp_path / "m")))
    first, last = Tap("h.0.mlp", "output"), Tap("h.1.mlp", "output")
    alone = subject.read([first], IDS)[first]
    together = subject.read([first, last], IDS)[first]
    assert torch.equal(alone, together)
