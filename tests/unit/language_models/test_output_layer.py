from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from libs.language_models.engine.output_layer import OutputInPieces, compute_output_in_pieces

VOCABULARY = 2000
"""No whole number of pieces."""
HAS_MKL: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]


def small_model(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = LlamaConfig(vocab_size=VOCABULARY, tie_word_embeddings=True, **sizes)
    model: Any = LlamaForCausalLM(config)
    return model.to(dtype).eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (2,), (5,), (16, 1), (1, 40), (2, 3)])
def test_pieces_together_are_the_whole_layer(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(64, VOCABULARY, bias=False), torch.randn(*shape, 64)
    with torch.inference_mode():
        torch.testing.assert_close(OutputInPieces(linear)(x), linear(x), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not HAS_MKL, reason="it is faster with MKL only")
def test_a_model_writes_the_same_through_it_with_the_weights_it_has() -> None:
    model, ids = small_model(), torch.tensor([[1, 2, 3], [4, 5, 6]])
    with torch.inference_mode():
        before = model(ids).logits
        compute_output_in_pieces(model)
        after = model(ids).logits
    assert isinstance(model.lm_head, OutputInPieces)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_what_it_cannot_do_faster_stays_as_it_is() -> None:
    half, biased = small_model(torch.bfloat16), small_model()
    biased.lm_head = nn.Linear(16, VOCABULARY)
    for model in (half, biased):
        compute_output_in_pieces(model)
        assert type(model.lm_head) is nn.Linear
