"""What an operator types becomes options, or an error that names what is known."""

from pathlib import Path

import pytest

from infra.local import SERVICES, UpOptions, choose


def test_by_default_every_service_runs_once_in_the_order_of_readers_before_writers() -> None:
    assert [(spec.name, spec.instances) for spec in choose().services] == [(name, 1) for name in SERVICES]
    assert SERVICES[0] == "evaluation"
    assert SERVICES[-1] == "gateway"


def test_only_scale_and_engine_choose(tmp_path: Path) -> None:
    found = choose(only=["inference", "grounding"], scale={"grounding": 2}, engine="echo", home=tmp_path)
    assert [(spec.name, spec.instances) for spec in found.services] == [("inference", 1), ("grounding", 2)]
    assert found.services[0].environ == {"TAILRACE_INFERENCE_ENGINE": "echo"}
    assert found.services[1].environ == {}
    assert found.home == tmp_path


def test_a_service_runs_as_its_module() -> None:
    assert choose(only=["safety"]).services[0].command_line[1:] == ("-m", "services.safety")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            {"only": ["grunding"]},
            r"No service 'grunding'\. Known: evaluation, retraining, feedback, post_processing, inference",
        ),
        ({"scale": {"kafka": 2}}, r"No service 'kafka'"),
        ({"scale": {"safety": 0}}, r"--scale safety=0: a service has at least one instance"),
        ({"scale": {"feedback": 2}}, r"feedback: one instance on SQLite"),
        ({"scale": {"gateway": 17}}, r"gateway: at most 16 instances"),
        ({"engine": "ekho"}, r"No engine 'ekho'\. Known: transformers, openai, echo"),
    ],
)
def test_what_is_unknown_or_impossible_is_named(typed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(**typed)  # type: ignore[arg-type]


def test_delays_between_restarts_double_up_to_their_limit() -> None:
    options = UpOptions(restart_delay=0.5, restart_delay_limit=5)
    assert [options.delay_after(lives) for lives in range(6)] == [0.5, 1, 2, 4, 5, 5]
    assert options.delay_after(10_000) == 5


def test_options_survive_the_way_to_the_supervisor(tmp_path: Path) -> None:
    options = choose(scale={"gateway": 2}, engine="echo", home=tmp_path)
    assert UpOptions.model_validate_json(options.model_dump_json()) == options
