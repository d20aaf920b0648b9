"""Bytes to text: rows decode as their joined bytes do, whatever the tokenizer."""

import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
import transformers
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from autointerp.errors import CorpusError
from autointerp.store import Vocabulary, vocabulary_from_tokenizer
from tests.conftest import HOSTILE_PIECES

pieces = st.one_of(
    st.binary(max_size=6),
    st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [*HOSTILE_PIECES, b"\xf0", b"\xf0\x9f\x98", b"\x80", b"\xe2\x82", b"\xac", b"\xef\xbf\xbd"]
    ),
)


@given(st.lists(pieces, min_size=1, max_size=12))
def test_joined_pieces_are_the_decoded_bytes(row: list[bytes]) -> None:
    vocabulary = Vocabulary(row)
    decoded = vocabulary.decode(range(len(row)))
    assert len(decoded) == len(row)
    assert "".join(decoded) == b"".join(row).decode("utf-8", errors="replace")
    assert vocabulary.decode_text(range(len(row))) == "".join(decoded)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=10), st.data())
def test_valid_text_survives_any_cut(text: str, data: st.DataObject) -> None:
    joined = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(joined)))) | {0, len(joined)})
    row = [joined[a:b] for a, b in pairwise(cuts)] or [b""]
    decoded = Vocabulary(row).decode(range(len(row)))
    assert "".join(decoded) == text
    assert "\ufffd" not in "".join(decoded) or "\ufffd" in text


def test_split_character_stands_on_its_first_token() -> None:
    vocabulary = Vocabulary([b"a\xf0\x9f", b"", b"\x98\x80b", b"\x98"])
    assert vocabulary.decode([0, 1, 2]) == ["a\U0001f600", "", "b"]
    assert vocabulary.decode([0, 2]) == ["a\U0001f600", "b"]
    assert vocabulary.decode([3, 0]) == ["\ufffd", "a\ufffd"]
    assert vocabulary.text(0) == "a\ufffd"


@pytest.mark.parametrize("token", [-1, 4])
def test_ids_outside_are_named(token: int) -> None:
    with pytest.raises(CorpusError, match=f"token id {token} is outside the vocabulary of 4"):
        Vocabulary([b"a"] * 4).decode([0, token])


class FakeTokenizer:
    """As much of a transformers tokenizer as is read."""

    def __init__(self, names: list[str], decoder: object | None = None, added: tuple[str, ...] = ()):
        self._names = names
        self.added_tokens_decoder = {
            names.index(name): type("Added", (), {"content": name})() for name in added
        }
        self.all_special_ids = list(self.added_tokens_decoder)
        if decoder is not None:
            backend = Tokenizer(
                models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=names[0])
            )
            backend.decoder = decoder
            self.backend_tokenizer = backend

    def get_vocab(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self._names)}


def test_byte_level_names() -> None:
    tokenizer = FakeTokenizer(
        ["<|end|>", "\u0120the", "\u00f0\u0141", "\u010a", "\u4e00"], decoders.ByteLevel(), added=("<|end|>",)
    )
    entries = vocabulary_from_tokenizer(tokenizer, size=7)
    assert [piece for _, piece, _ in entries] == [
        b"<|end|>",
        b" the",
        b"\xf0\x9f",
        b"\n",
        "\u4e00".encode(),
        b"",
        b"",
    ]
    assert [special for _, _, special in entries] == [True, False, False, False, False, True, True]


def test_every_byte_has_a_byte_level_name() -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    names = sorted(ByteLevel.alphabet())
    entries = vocabulary_from_tokenizer(FakeTokenizer(names, decoders.ByteLevel()))
    assert sorted(piece for _, piece, _ in entries) == [bytes([byte]) for byte in range(256)]


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.Metaspace(),
        decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]),
        None,
    ],
)
def test_sentencepiece_names(decoder: object | None) -> None:
    tokenizer = FakeTokenizer(["\u2581the", "<0xF0>", "<0xZZ>", "cat"], decoder)
    assert [piece for _, piece, _ in vocabulary_from_tokenizer(tokenizer)] == [
        b" the",
        b"\xf0",
        b"<0xZZ>",
        b"cat",
    ]


def test_wordpiece_names() -> None:
    tokenizer = FakeTokenizer(["[CLS]", "cat", "##s"], decoders.WordPiece(), added=("[CLS]",))
    assert [piece for _, piece, _ in vocabulary_from_tokenizer(tokenizer)] == [b"[CLS]", b" cat", b"s"]


def test_plain_names_and_lone_surrogates() -> None:
    assert [piece for _, piece, _ in vocabulary_from_tokenizer(FakeTokenizer(["a", "\ud800"]))] == [
        b"a",
        b"\xed\xa0\x80",
    ]


SAMPLE = [
    "The cat's hat. It sat, and sat!  A na\u00efve caf\u00e9    \U0001f600 \u65e5\u672c\u8a9e\n\tdef f(x):\n        return x"
] * 3


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        SAMPLE, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in (2, 4, 8)])
    return tokenizer


def sentencepiece() -> Tokenizer:
    letters = sorted({character for text in SAMPLE for character in text.replace(" ", "\u2581")})
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, "\u2581t", "\u2581th", "at"]
    vocabulary = {name: index for index, name in enumerate(dict.fromkeys(names))}
    merges = [("\u2581", "t"), ("\u2581t", "h"), ("a", "t")]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")  # type: ignore[assignment]
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)  # type: ignore[assignment]
    tokenizer.add_tokens([AddedToken("\u2581" * n, normalized=False) for n in (2, 4, 8)])
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore[assignment]
    tokenizer.decoder = decoders.Metaspace()  # type: ignore[assignment]
    tokenizer.train_from_iterator(
        SAMPLE,
        trainers.UnigramTrainer(
            vocab_size=60, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        ),
    )
    return tokenizer


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    tokenizer.decoder = decoders.WordPiece()  # type: ignore[assignment]
    tokenizer.train_from_iterator(
        SAMPLE, trainers.WordPieceTrainer(vocab_size=80, special_tokens=["[UNK]"], show_progress=False)
    )
    return tokenizer


def end_of_word() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    tokenizer.decoder = decoders.BPEDecoder()  # type: ignore[assignment]
    tokenizer.train_from_iterator(
        SAMPLE,
        trainers.BpeTrainer(
            vocab_size=90, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
        ),
    )
    return tokenizer


KINDS = (byte_level, sentencepiece, metaspace, wordpiece, end_of_word)


@cache
def fast(kind: Callable[[], Tokenizer]) -> tuple[transformers.PreTrainedTokenizerFast, Vocabulary]:
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=kind())
    return tokenizer, Vocabulary([piece for _, piece, _ in vocabulary_from_tokenizer(tokenizer)])


ENGLISH = [
    "The",
    "cat's",
    "hat",
    "sat,",
    "and",
    "!",
    ".",
    "na\u00efve",
    "\U0001f600",
    "\u65e5\u672c",
    "f(x):",
]
words = st.sampled_from([*ENGLISH, "", " ", "\n", "\t", "    "])


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.one_of(words, st.text(max_size=3)), min_size=1, max_size=12), st.data())
def test_a_window_shows_what_the_tokenizer_decodes(
    kind: Callable[[], Tokenizer], parts: list[str], data: st.DataObject
) -> None:
    """Whatever the kind, in any window of any text: but for the blank, or a WordPiece's ##, that decoders treat otherwise at a
    window's edge, and for a character that the window cuts, of which SentencePiece makes marks of the bytes beside it too."""
    tokenizer, vocabulary = fast(kind)
    ids = tokenizer(" ".join(parts).encode("utf-8", "replace").decode())["input_ids"]
    start = data.draw(st.integers(0, len(ids)))
    ids = ids[start : data.draw(st.integers(start, len(ids)))]
    shown, decoded = vocabulary.decode_text(ids), tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert isinstance(decoded, str)
    assume(kind is not sentencepiece or "\ufffd" not in shown)
    shown, decoded = (re.sub("\ufffd+", "\ufffd", text) for text in (shown, decoded))
    assert decoded.removeprefix("##") in (shown, shown.removeprefix(" "), shown.removesuffix(" "))


@pytest.mark.parametrize("kind", [byte_level, sentencepiece])
def test_added_runs_of_blanks_are_blanks(kind: Callable[[], Tokenizer]) -> None:
    tokenizer, vocabulary = fast(kind)
    name = ("  " if kind is byte_level else "\u2581\u2581") * 2
    assert vocabulary.text(tokenizer.convert_tokens_to_ids(name)) == "    "  # type: ignore[arg-type]
    text = SAMPLE[0]
    assert vocabulary.decode_text(tokenizer(text)["input_ids"]) == text
