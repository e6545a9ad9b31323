import pytest
import torch
from torch import nn

from libs.language_models.engine.int8 import Int8Linear, quantize


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(576, 192, bias=False)


def test_a_row_is_the_same_bits_whoever_shares_its_batch(linear: nn.Linear) -> None:
    layer, x = Int8Linear(linear), torch.randn(16, 576)
    x[3] *= 1000
    together = layer(x)
    assert all(torch.equal(layer(x[row : row + 1])[0], together[row]) for row in range(16))


def test_activations_lose_next_to_nothing(linear: nn.Linear) -> None:
    x = torch.randn(8, 576)
    weight = linear.weight.detach()
    scale = weight.abs().amax(1, keepdim=True) / 127
    exact = x @ ((weight / scale).round() * scale).T
    assert torch.allclose(Int8Linear(linear)(x), exact, rtol=0, atol=2e-3 * float(exact.abs().max()))


def test_an_outlier_in_one_row_does_not_coarsen_another(linear: nn.Linear) -> None:
    layer, x = Int8Linear(linear), torch.randn(2, 576)
    calm = layer(x[:1])
    x[1] = 1e6
    assert torch.equal(layer(x)[:1], calm)


def test_a_row_of_zeros_stays_zero(linear: nn.Linear) -> None:
    assert torch.equal(Int8Linear(linear)(torch.zeros(1, 576)), torch.zeros(1, 192))


def test_every_linear_layer_is_replaced_and_leading_dimensions_stay() -> None:
    model = quantize(nn.Sequential(nn.Linear(8, 8, bias=False), nn.Sequential(nn.Linear(8, 4, bias=False))))
    assert not any(isinstance(module, nn.Linear) for module in model.modules())
    assert model(torch.randn(2, 3, 8)).shape == (2, 3, 4)


def test_a_bias_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="bias"):
        Int8Linear(nn.Linear(4, 4))
