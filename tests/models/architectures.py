"""What works for which architecture, found by trying; `python -m tests.models.architectures` writes it to docs/models.md."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from autointerp.caching import cache
from autointerp.errors import CorpusError, UserError
from autointerp.models.coders.loading import load_coder
from autointerp.models.hooks import Tap, hooked
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.store import Store
from tests.models import zoo
from tests.models.tiny import TEXT, save_tokenizer

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
CTX_LEN = 24
PADDING = 1
"""The id that serves as padding."""
STEP = 1e-2
"""Size of a change for measurement, as a share of the module's output."""


@dataclass
class Findings:
    """Of one architecture. `refused`: why it is not supported at all. `works`: what was tried, and "yes" or why not.
    `agreement`: shares of the ten most raised (lowered) tokens that the store and measurement have in common, by hookpoint;
    `slope`: the stored values over the measured ones."""

    refused: str | None = None
    works: dict[str, str] = field(default_factory=dict)
    agreement: dict[str, float] = field(default_factory=dict)
    slope: dict[str, float] = field(default_factory=dict)


def examine(name: str, folder: Path, tokenizer: Path) -> Findings:
    """Save a tiny model of the architecture, cache coders of its last layer, and compare with what its modules compute."""
    architecture = zoo.ARCHITECTURES[name]
    model = zoo.save(name, folder / "model", tokenizer)
    try:
        subject = load_subject(str(model))
    except UserError as error:
        return Findings(refused=str(error))
    text = folder / "text.txt"
    text.write_text(TEXT * 6, encoding="utf-8")
    points = {"block": architecture.block, **({"mlp": architecture.mlp} if architecture.mlp else {})}
    coders = {part: f"random:{point}:24:4" for part, point in points.items()}
    found = Findings()
    neurons = f"neurons:{architecture.mlp or architecture.block}"
    try:
        load_coder(neurons, subject=subject)
        coders["neurons"], found.works["neurons"] = neurons, "yes"
    except UserError as error:
        found.works["neurons"] = str(error).replace(subject.name, "the model")
    store_path = folder / "store"
    infos = cache(
        store_path,
        model=subject,
        coders=coders,
        text=[text],
        ctx_len=CTX_LEN,
        neighbours=False,
        fidelity_tokens=512,
    )
    store = Store.open(store_path)
    opened = load_subject(str(model)).fingerprint == store.meta["model"]["fingerprint"] == subject.fingerprint
    found.works["opens again"] = "yes" if opened else "no: its weights differ"
    for part, info in zip(points, infos, strict=False):
        same = cached_is_computed(store, part, subject, points[part])
        found.works[f"activations {part}"] = "yes" if same else "no: other values"
        found.works[f"promoted {part}"] = info.absent.get("promoted_tokens", "yes")
        if info.has_logits:
            measure_promoted(found, store, part, subject, points[part])
    found.works["padding"] = padding_is_hidden(subject, architecture.block)
    found.works["fidelity"] = (
        "yes"
        if infos[0].fidelity and infos[0].fidelity.ce_spliced
        else "FVU only: it has no head for next tokens"
    )
    return found


def cached_is_computed(store: Store, coder: str, subject: SubjectModel, hookpoint: str) -> bool:
    """Whether the store holds what a random coder gives for the module's output in a run of the model without our hooks."""
    ids = torch.from_numpy(store.tokens.astype(np.int64))
    outputs: list[torch.Tensor] = []

    def keep(_m: object, _args: object, output: object) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        outputs.append(tensor.clone())  # type: ignore[union-attr] - Falcon adds to an MLP's output in place

    handle = subject.base.get_submodule(hookpoint).register_forward_hook(keep)
    with torch.no_grad():
        subject.base(input_ids=ids)
    handle.remove()
    weight = torch.empty(24, zoo.D)
    weight.uniform_(-(zoo.D**-0.5), zoo.D**-0.5, generator=torch.Generator().manual_seed(0))
    pre = outputs[0].reshape(-1, zoo.D) @ weight.T
    best = pre.topk(4, dim=1)
    wanted = torch.zeros_like(pre).scatter_(1, best.indices, best.values.clamp(min=0)).numpy()
    wanted[store.tokens.ravel() == 0] = 0
    got = np.zeros_like(wanted)
    for latent in range(24):
        acts = store.coder(coder).activations(latent)
        got[acts.token, latent] = acts.activation
    return bool(np.allclose(got, wanted, rtol=2e-3, atol=1e-4))


def padding_is_hidden(subject: SubjectModel, hookpoint: str) -> str:
    """Whether padded rows give the text what it gets alone: "yes", or the reason for which padding is refused."""
    subject.tokenizer.pad_token = subject.tokenizer.convert_ids_to_tokens(PADDING)
    tap, text, refused = Tap(hookpoint, "output"), torch.arange(20, 28)[None], ""
    alone = subject.read([tap], text)[tap]
    for before, after in ((0, 3), (3, 0), (2, 4)):
        padded = torch.nn.functional.pad(text, (before, after), value=PADDING)
        try:
            got = subject.read([tap], padded)[tap][:, before : before + text.shape[1]]
        except CorpusError as error:
            refused = str(error)
            continue
        if not torch.allclose(got, alone, rtol=1e-3, atol=1e-3 * float(alone.std())):
            return "no: other values"
    return refused or "yes"


def measure_promoted(
    found: Findings, store: Store, coder: str, subject: SubjectModel, hookpoint: str
) -> None:
    """Compare the promoted and suppressed tokens of some latents with the change of the logits when the module's output moves
    along their directions, averaged over the text; nothing reads the residual stream after the last layer."""
    ids = torch.from_numpy(store.tokens.astype(np.int64))
    text = ids != 0
    weight = torch.empty(24, zoo.D)
    weight.uniform_(-(zoo.D**-0.5), zoo.D**-0.5, generator=torch.Generator().manual_seed(0))
    tap = Tap(hookpoint, "output")
    sizes: list[float] = []
    with (
        torch.no_grad(),
        hooked(subject.base, [tap], lambda _, x: sizes.append(float(x.norm(dim=-1).median()))),
    ):
        subject.base(input_ids=ids)
    shared, ratios = [], []
    for latent in range(0, 24, 6):
        direction = weight[latent] / weight[latent].norm()
        logits = []
        for sign in (1, -1):
            change = sign * STEP * sizes[0] * direction
            with torch.no_grad(), hooked(subject.base, [tap], lambda _, x, change=change: x + change):
                logits.append(subject.model(input_ids=ids).logits[text])
        effect = (logits[0] - logits[1]).mean(0)[: len(subject.tokenizer)] / (2 * STEP * sizes[0])
        for sign, listed in zip((1, -1), store.coder(coder).promoted(latent), strict=True):
            best = set((sign * effect).topk(len(listed)).indices.tolist())
            shared.append(len(best & {token.token for token in listed}) / max(1, len(listed)))
            ratios += [token.value / float(effect[token.token]) for token in listed]
    found.agreement[hookpoint], found.slope[hookpoint] = float(np.mean(shared)), float(np.median(ratios))


def cells(name: str, found: Findings) -> list[str]:
    """The table's cells for one architecture: model class, then "yes", or the number of a note, for each column."""
    if found.refused:
        return [
            name,
            zoo.ARCHITECTURES[name].model,
            *[f"no ({next(k for k, why in NOTES.items() if why[0] in found.refused)})"] * 6,
        ]
    works = found.works

    def both(what: str) -> str:
        parts = {part: works[f"{what} {part}"] for part in ("block", "mlp") if f"{what} {part}" in works}
        if len(set(parts.values())) == 1:
            return shown(next(iter(parts.values())))
        return "; ".join(f"{part}: {shown(value)}" for part, value in parts.items())

    def shown(value: str) -> str:
        return (
            value
            if value == "yes"
            else next((f"no ({key})" for key, why in NOTES.items() if why[0] in value), value)
        )

    return [
        name, zoo.ARCHITECTURES[name].model, both("activations"), both("promoted"), shown(works["fidelity"]),
        shown(works["neurons"]), shown(works["padding"]), shown(works["opens again"]),
    ]  # fmt: skip


NOTES = {
    "a": (
        "no language-model head",
        "A masked language model has no head that predicts the next token, so there are no promoted tokens, and fidelity is "
        "the fraction of variance unexplained alone.",
    ),
    "b": ("FVU only", "As a."),
    "c": (
        "whose neurons cannot be read",
        "The experts keep their weights in a format of their own. `autointerp cache` says so and ends with exit code 2.",
    ),
    "d": (
        "several down-projections",
        "Besides the routed experts, each layer has a shared one: `neurons:layers.1.mlp.experts` or "
        "`neurons:layers.1.mlp.shared_expert`.",
    ),
    "e": (
        "encoder-decoder",
        "An encoder-decoder runs on two texts at once and is not supported. `autointerp cache` says so and ends with "
        "exit code 2.",
    ),
    "f": (
        "before the text of a row",
        "Only after the text: the model reads a row from its beginning and cannot skip padding. With padding before the text, "
        "`autointerp cache` says so and ends with exit code 2.",
    ),
}
"""Notes of the table: what a reason contains, and how the page explains it."""


def row(name: str, found: Findings) -> str:
    """One line of the table."""
    columns = [f"`{cell}`" if index == 1 else cell for index, cell in enumerate(cells(name, found))]
    return "| " + " | ".join(columns) + " |"


HEADER = [
    "Architecture",
    "Class",
    "Activations",
    "Promoted tokens",
    "Cross-entropy",
    "Neurons",
    "Padding",
    "Opens again",
]
INTRODUCTION = """# Models

Every line is tested: a tiny random model of the architecture is saved as a checkpoint, coders of its last layer's
output and of its MLP are cached, and the store is compared with what the modules compute when the model is run without this
program. `python -m tests.models.architectures` writes this page, and the test suite fails if a line is no longer
true.

- **Activations**: the stored activations are those of the module's output, on text only.
- **Promoted tokens**: of the ten tokens whose logits rise (or fall) most when the module's output moves along a latent's
  decoder direction, at least nine are those shown, on average over the latents tried.
- **Cross-entropy**: splicing the coder's output into the model gives a change in its cross-entropy.
- **Neurons**: `neurons:HOOKPOINT` for the MLP (for the block, if there is no MLP) finds the neurons.
- **Padding** in `--token-ids` is not cached and is hidden from the model: the text gets the same activations as it does
  without padding.
- **Opens again**: the model, loaded again, is recognised as the one that the store was made from.

Promoted tokens follow the *direct path* from the module to the logits: along the residual stream, through the norms on
the way, with every later layer held at its value. The path is found by running the model, not by the names of its modules, and
is compared with measured changes in the logits before anything is shown. A hookpoint that does not write to the residual stream
(an attention's `q_proj`, a layer's `input_layernorm`) has no promoted tokens; the Feature page and `info --json` say why.
Values are changes in the logit per unit of activation, averaged over a sample of the text's tokens.

Other libraries' coders use their own names for tensors: [formats.md](formats.md#hook-names) lists the architectures for which
they are translated into hookpoints.

"""


def document(findings: dict[str, Findings]) -> str:
    """The whole page."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    lines += [row(name, found) for name, found in findings.items()]
    return INTRODUCTION + "\n".join([*lines, "", *notes()]) + "\n"


def notes() -> list[str]:
    """The lines below the table."""
    return [f"- ({key}) {text}" for key, (_, text) in NOTES.items()]


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_tokenizer(root / "tokenizer")
        findings = {
            name: examine(name, root / str(index), root / "tokenizer")
            for index, name in enumerate(zoo.ARCHITECTURES)
        }
    DOCUMENT.write_text(document(findings), encoding="utf-8")


if __name__ == "__main__":
    main()
