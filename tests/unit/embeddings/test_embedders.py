"""Embedders: unit vectors, agreement with the reference library, truncation, and what the tokenizer counts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from libs.embeddings import (
    BertEmbedder,
    Embedder,
    HashingEmbedder,
    SentenceTransformerEmbedder,
    create_embedder,
    default_model_folder,
)

TEXTS = [
    "How do I restart the broker?",
    "Restarting a Kafka broker takes three steps.",
    "Ein Satz auf Deutsch mit Umlauten: Grüße, Öl, Übermut.",
    "x",
    "A long text. " * 400,
    "def f(x):\n    return x ** 2  # 平方",
]


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return create_embedder()


@pytest.fixture(scope="module")
def reference() -> Embedder:
    return SentenceTransformerEmbedder(str(default_model_folder()), device="cpu")


def test_the_default_agrees_with_sentence_transformers(minilm: Embedder, reference: Embedder) -> None:
    ours, theirs = minilm.embed(TEXTS), reference.embed(TEXTS)
    assert ours.shape == theirs.shape == (len(TEXTS), 384)
    assert float((ours * theirs).sum(1).min()) > 0.99999
    assert float(np.abs(ours - theirs).max()) < 1e-5


def test_both_adapters_say_the_same_of_the_model(minilm: Embedder, reference: Embedder) -> None:
    assert (minilm.dimension, minilm.max_tokens) == (reference.dimension, reference.max_tokens) == (384, 256)
    assert [minilm.count(text) for text in TEXTS] == [reference.count(text) for text in TEXTS]


@pytest.mark.parametrize("name", ["minilm", "reference"])
def test_vectors_have_length_one_and_empty_input_gives_no_rows(name: str, request: pytest.FixtureRequest) -> None:
    embedder: Embedder = request.getfixturevalue(name)
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_a_vector_does_not_depend_on_its_neighbours_in_the_batch(minilm: Embedder) -> None:
    np.testing.assert_allclose(minilm.embed(TEXTS)[1], minilm.embed([TEXTS[1]])[0], atol=1e-6)


def test_what_lies_beyond_the_last_token_is_not_read(minilm: Embedder) -> None:
    long, longer = "word " * 300, "word " * 300 + "and a different end"
    np.testing.assert_allclose(minilm.embed([long]), minilm.embed([longer]), atol=1e-6)


def test_meaning_counts_more_than_words(minilm: Embedder) -> None:
    query, near, far = minilm.embed(
        ["How can I start the server again?", "To reboot the machine, press the button.", "How can I cook rice?"]
    )
    assert query @ near > query @ far + 0.1


def test_hashing_brings_texts_together_that_share_words() -> None:
    embedder = HashingEmbedder()
    query, near, far, empty = embedder.embed(["red apples", "apples that are red", "blue cars drive", "..."])
    assert query @ near > 0.5 > query @ far
    assert np.linalg.norm(empty) == pytest.approx(1)


def test_a_folder_of_another_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mpnet", "hidden_act": "gelu"}')
    with pytest.raises(ValueError, match="leave it to sentence-transformers"):
        BertEmbedder(tmp_path)


def test_an_unknown_model_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises((OSError, ValueError), match="no-such-model"):
        create_embedder(str(tmp_path / "no-such-model"))


def test_the_default_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from libs.embeddings import create_embedder; create_embedder().embed(['a']);"
        "print([m for m in ('torch', 'transformers', 'sentence_transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_threads_of_matrix_products_are_bounded_on_request() -> None:
    # In a process of its own: the bound holds for all of it.
    probe = (
        "from threadpoolctl import threadpool_info; from libs.embeddings import create_embedder;"
        "create_embedder(threads=1).embed(['a']);"
        "print([pool['num_threads'] for pool in threadpool_info() if pool['user_api'] == 'blas'])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1]"
