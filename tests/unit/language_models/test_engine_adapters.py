"""Adapters beside one base: the tokens that PEFT writes, whoever shares the batch, loaded and gone while it writes."""

import asyncio
import gc
import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from libs.language_models import TokenCounter
from libs.language_models.engine import Engine, EngineSettings
from libs.language_models.engine.adapter_files import CONFIG, WEIGHTS, read_adapter
from libs.language_models.engine.low_rank import layers_of
from libs.language_models.engine.runner import Piece, Runner
from libs.language_models.generation import Delta, Finished, GenerationRequest, UnknownAdapter, UnusableAdapter
from schemas.base import Message
from tests.support.adapters import drawn
from tests.support.trainings import tiny_base

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
QUESTIONS = ("Hi", "What is a broker?", "Tell me of the sea. " * 30, "Why?")
NAMES = (None, "all", "some", "root")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three adapters: of all layers, of two kinds of them with another rank, and one scaled by a root."""
    found = tmp_path_factory.mktemp("adapters")
    drawn(base, found / "all", 1)
    drawn(base, found / "some", 2, r=6, target_modules=["q_proj", "down_proj"])
    drawn(base, found / "root", 3, use_rslora=True, lora_alpha=8)
    return found


@pytest.fixture(scope="module")
def layers(base: Path) -> dict[str, Any]:
    return dict(layers_of(AutoModelForCausalLM.from_pretrained(base)))


@pytest.fixture
def engine(base: Path) -> Iterator[Engine]:
    yield from started(base)


def started(base: Path, **settings: Any) -> Iterator[Engine]:
    chosen = {"slots": 4, "reserved_slots": 0, "read_tokens": 32, "precision": "float32", "device": "cpu", **settings}
    engine = Engine.load(base, EngineSettings(**chosen))
    engine.start()
    yield engine
    engine.close()


def asking(text: str, adapter: str | None, tokens: int = 12) -> GenerationRequest:
    return GenerationRequest([Message(role="user", content=text)], max_tokens=tokens, adapter=adapter)


async def answer(engine: Engine, text: str, adapter: str | None, tokens: int = 12) -> str:
    pieces = [piece async for piece in engine.generate(asking(text, adapter, tokens))]
    assert isinstance(pieces[-1], Finished)
    return "".join(piece.text for piece in pieces if isinstance(piece, Delta))


def by_peft(base: Path, adapter: Path | None, text: str) -> str:
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    model.train(mode=False)
    counter = TokenCounter.from_folder(base)
    ids = torch.tensor([counter.encode_messages([Message(role="user", content=text)])])
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=2
    )
    return counter.tokenizer.decode(out[0, ids.shape[1] :].tolist()).rstrip("\ufffd")


def load(engine: Engine, folder: Path) -> None:
    for name in NAMES:
        if name is not None:
            engine.load_adapter(folder / name)


async def test_alone_and_in_a_mixed_batch_each_writes_what_peft_writes(
    engine: Engine, base: Path, folder: Path
) -> None:
    load(engine, folder)
    expected = {name: by_peft(base, folder / name if name else None, QUESTIONS[1]) for name in NAMES}
    assert len(set(expected.values())) == len(NAMES)
    assert {name: await answer(engine, QUESTIONS[1], name) for name in NAMES} == expected
    mixed = [(text, name) for text in QUESTIONS for name in NAMES]
    together = await asyncio.gather(*(answer(engine, text, name) for text, name in mixed))
    assert together == [await answer(engine, text, name) for text, name in mixed]
    assert dict(zip(NAMES, together[4:8], strict=True)) == expected


def test_one_pass_gives_each_row_and_piece_its_own_adapter_and_none_to_the_others(base: Path, folder: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.train(mode=False)
    bare = torch.get_default_dtype()
    one, other = (read_adapter(folder / name, layers_of(model), dtype=bare) for name in ("all", "some"))
    owners = (one, None, other)

    def begun() -> Runner:
        runner = Runner(model, 5, 256)
        for row, owner in enumerate(owners):
            runner.read(Piece(row, range(5, 25 + row), 0, owner))
        return runner

    pieces = [Piece(3, range(40, 60), 0, other), Piece(4, range(60, 75), 0)]
    runner = begun()
    assert runner.packs
    decoded, read = runner.step([7, 8, 9], [20, 21, 22], pieces, owners)
    together = torch.stack([*decoded, *(it for it in read if isinstance(it, torch.Tensor))])
    apart = begun()
    rows = apart.decode([7, 8, 9], [20, 21, 22], owners)
    alone = torch.stack([*rows, *(apart.read(piece) for piece in pieces)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert torch.equal(alone[4], begun().read(pieces[1]))
    without = begun().decode([7, 8, 9], [20, 21, 22])
    assert not torch.allclose(without[0], rows[0], atol=1e-2)
    torch.testing.assert_close(without[1], rows[1], rtol=1e-4, atol=1e-4)


async def test_without_adapters_in_a_step_the_model_runs_as_if_there_were_none(engine: Engine, folder: Path) -> None:
    load(engine, folder)
    layers = layers_of(engine._model).values()
    await answer(engine, "Hi", "all")
    assert all(layer._forward_hooks for layer in layers)
    await answer(engine, "Hi", None)
    assert not any(layer._forward_hooks for layer in layers)


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
async def test_on_a_base_of_lower_precision_an_adapter_is_added_to_what_the_base_gives(
    base: Path, folder: Path, precision: str
) -> None:
    for engine in started(base, precision=precision):
        load(engine, folder)
        bare, *adapted = await asyncio.gather(*(answer(engine, "What is a broker?", name) for name in NAMES))
        assert len({bare, *adapted}) == len(NAMES)
        assert precision != "int8" or adapted[0] == by_peft(base, folder / "all", "What is a broker?")


async def test_an_adapter_comes_and_goes_while_others_write_and_nobody_changes_midway(
    engine: Engine, folder: Path
) -> None:
    load(engine, folder)
    expected = {name: await answer(engine, "Hi", name, 60) for name in ("all", "some")}
    stream = engine.generate(asking("Hi", "all", 60))
    begun = [await anext(stream)]
    others = [asyncio.create_task(answer(engine, "Hi", "some", 60)) for _ in range(2)]
    engine.unload_adapter("all")
    assert engine.adapters == ("some", "root")
    with pytest.raises(UnknownAdapter, match='no adapter "all" is loaded'):
        await answer(engine, "Hi", "all")
    await asyncio.to_thread(engine.load_adapter, folder / "all")
    rest = [piece async for piece in stream]
    assert "".join(piece.text for piece in [*begun, *rest] if isinstance(piece, Delta)) == expected["all"]
    assert await asyncio.gather(*others) == [expected["some"]] * 2
    assert await answer(engine, "Hi", "all", 60) == expected["all"]


async def test_loading_again_is_nothing_and_what_nobody_writes_with_any_more_is_freed(
    engine: Engine, folder: Path
) -> None:
    engine.load_adapter(folder / "all")
    held = weakref.ref(engine._adapters["all"])
    engine.load_adapter(folder / "all")
    assert engine._adapters["all"] is held()
    stream = engine.generate(asking("Hi", "all", 400))
    await anext(stream)
    engine.unload_adapter("all")
    gc.collect()
    assert held() is not None
    await stream.aclose()
    await answer(engine, "Hi", None)
    gc.collect()
    assert held() is None


def configured(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        told = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**told, **changes}))

    return spoil


def stored(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return spoil


A = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
HEAD = "base_model.model.lm_head.lora_A.weight"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / CONFIG).unlink(), "No such file"),
        (lambda folder: (folder / WEIGHTS).unlink(), "No such file"),
        (lambda folder: (folder / CONFIG).write_text("{"), "no JSON"),
        (lambda folder: (folder / CONFIG).write_text("[]"), "no JSON object"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"\x00" * 40), "is damaged"),
        (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-8]), "is damaged"),
        (configured(peft_type="IA3"), 'only "LORA" is served'),
        (configured(task_type="SEQ_CLS"), "task_type"),
        (configured(bias="all"), "trained biases"),
        (configured(lora_bias=True), '"lora_bias" is set'),
        (configured(use_dora=True), '"use_dora" is set'),
        (configured(modules_to_save=["lm_head"]), '"modules_to_save" is set'),
        (configured(rank_pattern={"q_proj": 8}), '"rank_pattern" is set'),
        (configured(alpha_pattern={"q_proj": 8}), '"alpha_pattern" is set'),
        (configured(layers_to_transform=[0]), '"layers_to_transform" is set'),
        (configured(fan_in_fan_out=True), '"fan_in_fan_out" is set'),
        (configured(something_new="on"), '"something_new" is set'),
        (configured(init_lora_weights="pissa"), "changes the base itself"),
        (configured(r=0), '"r"'),
        (configured(r=True), '"r"'),
        (configured(r=None), '"r"'),
        (configured(r=8), "shape"),
        (configured(lora_alpha="much"), '"lora_alpha"'),
        (configured(lora_alpha=float("nan")), '"lora_alpha"'),
        (configured(target_modules=r".*_proj"), "no list of names"),
        (configured(target_modules=["nothing"]), "no layer that it is for"),
        (configured(target_modules=["q_proj"]), "which is no part"),
        (stored(lambda tensors: tensors.pop(A)), "lacks .*up_proj.lora_A"),
        (stored(lambda tensors: tensors.update({HEAD: torch.zeros(4, 32)})), "holds .*lm_head"),
        (stored(lambda tensors: tensors.update({A: torch.zeros(4, 33)})), r"has the shape \(4, 33\) and not \(4, 32\)"),
        (stored(lambda tensors: tensors[A].fill_(float("nan"))), "no numbers"),
        (stored(lambda tensors: tensors[A][0].fill_(float("inf"))), "no numbers"),
        (stored(lambda tensors: tensors.update({A: torch.zeros(4, 32, dtype=torch.int32)})), "torch.int32"),
    ],
)
def test_a_bad_adapter_is_refused_by_what_is_wrong_with_it(
    layers: dict[str, Any], folder: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in (CONFIG, WEIGHTS):
        (bad / name).write_bytes((folder / "all" / name).read_bytes())
    spoil(bad)
    with pytest.raises(UnusableAdapter, match=says):
        read_adapter(bad, layers, dtype=torch.float32)


async def test_the_engine_serves_on_after_a_bad_adapter(engine: Engine, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableAdapter):
        engine.load_adapter(tmp_path / "nothing")
    load(engine, folder)
    assert await answer(engine, "Hi", "all") != await answer(engine, "Hi", None)
    assert engine.ready
