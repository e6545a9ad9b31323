"""Templates and budgets: what the model reads holds the question and each source unchanged, and fits."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from libs.bus import Rejected
from schemas.base import Message, Parameters, ResponseFormat
from services.grounding.adapters.template_files import OWN_TEMPLATES, read_templates
from services.grounding.domain.history import Turn
from services.grounding.domain.rendering import Budget, Rendered, render
from services.grounding.domain.retrieval import Hit
from services.grounding.domain.templates import Inputs, Templates
from tests.unit.grounding.conftest import NOW, MakePrompt

GOOD = "{% block system %}{% endblock %}{% block user %}{{ question }}{% endblock %}"


class WordCounter:
    """A token is a word; a message costs two more."""

    def count(self, text: str) -> int:
        return len(text.split())

    def count_messages(self, messages: Sequence[Message]) -> int:
        return sum(self.count(m.content) + 2 for m in messages)


@pytest.fixture
def templates() -> Templates:
    return Templates(read_templates([OWN_TEMPLATES]))


def hit(text: str, number: int = 0) -> Hit:
    return Hit(f"doc{number}", "v", 0, "Guide", "Install > Linux", text, 0.8, 0.5)


def turn(number: int, words: int = 3) -> Turn:
    return Turn(f"t{number}", f"question {number}", " ".join([f"answer{number}"] * words), NOW)


def rendering(
    templates: Templates,
    event: object,
    hits: Sequence[Hit] = (),
    turns: Sequence[Turn] = (),
    *,
    template: str = "answer@1",
    budget: Budget | None = None,
) -> Rendered:
    chosen = budget or Budget(1000, 100, 200)
    return render(event, template, hits, turns, templates=templates, tokens=WordCounter(), budget=chosen)  # type: ignore[arg-type]


def test_each_source_stands_verbatim_and_numbered_before_the_question(
    templates: Templates, make_prompt: MakePrompt
) -> None:
    wild = "Text with <b>tags</b> & {{ braces }} {% raw %}\n\n  and  spaces "
    rendered = rendering(templates, make_prompt("What is it?"), [hit(wild), hit("Second.", 1)])
    system, user = rendered.messages
    assert (system.role, user.role) == ("system", "user")
    assert f"[1] {wild}\n" in user.content
    assert "[2] Second.\n" in user.content
    assert user.content.endswith("\n\nWhat is it?")
    assert [(s.number, s.document_id, s.text) for s in rendered.sources] == [(1, "doc0", wild), (2, "doc1", "Second.")]


def test_a_question_is_never_read_as_template_code(templates: Templates, make_prompt: MakePrompt) -> None:
    text = "{{ 7 * 7 }} {% include 'chat@1' %} <&>\n"
    for template in templates.names:
        assert rendering(templates, make_prompt(text), template=template).messages[-1].content == text


def test_without_sources_the_upstreams_messages_pass_unchanged(templates: Templates, make_prompt: MakePrompt) -> None:
    event = make_prompt("a", "b", " c\n\n")
    for template in ("chat@1", "answer@1"):
        assert rendering(templates, event, template=template).messages == event.messages


def test_the_upstreams_own_system_text_is_kept_above_the_templates(
    templates: Templates, make_prompt: MakePrompt
) -> None:
    messages = (
        Message(role="system", content="You are a pirate."),
        Message(role="developer", content="Be brief."),
        Message(role="user", content="Why?"),
    )
    rendered = rendering(templates, make_prompt(messages=messages), [hit("Because.")])
    assert [m.role for m in rendered.messages] == ["system", "user"]
    assert rendered.messages[0].content.startswith("You are a pirate.\n\nBe brief.\n\n")
    assert len(rendered.messages[0].content) > len("You are a pirate.\n\nBe brief.\n\n")


def test_history_stands_between_the_system_text_and_the_question(templates: Templates, make_prompt: MakePrompt) -> None:
    rendered = rendering(templates, make_prompt("And now?"), [hit("x")], [turn(1), turn(2)])
    assert [m.role for m in rendered.messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert rendered.messages[1].content == "question 1"
    assert rendered.messages[3].content == "question 2"


def test_the_newest_turns_are_kept_when_history_is_too_long(templates: Templates, make_prompt: MakePrompt) -> None:
    budget = Budget(1000, 100, history=2 * (2 + 2 + 3 + 2))
    turns = [turn(1, 1), turn(2), turn(3)]
    rendered = rendering(templates, make_prompt("Now?"), turns=turns, budget=budget)
    assert [m.content for m in rendered.messages if m.role == "user"] == ["question 2", "question 3", "Now?"]


def test_no_history_is_shown_with_a_gap(templates: Templates, make_prompt: MakePrompt) -> None:
    budget = Budget(1000, 100, history=20)
    turns = [turn(1, 1), turn(2, 100), turn(3)]
    rendered = rendering(templates, make_prompt("Now?"), turns=turns, budget=budget)
    assert [m.content for m in rendered.messages if m.role == "user"] == ["question 3", "Now?"]


def test_sources_are_dropped_from_the_last_until_all_fits(templates: Templates, make_prompt: MakePrompt) -> None:
    hits = [hit("word " * 60, n) for n in range(4)]
    event = make_prompt("Why?", parameters=Parameters(max_completion_tokens=40))
    rendered = rendering(templates, event, hits, budget=Budget(220, 100))
    assert [s.document_id for s in rendered.sources] == ["doc0", "doc1"]
    assert rendered.tokens == WordCounter().count_messages(rendered.messages) <= 180
    assert "[3]" not in rendered.messages[-1].content


def test_a_prompt_that_leaves_no_room_for_its_answer_is_rejected(templates: Templates, make_prompt: MakePrompt) -> None:
    event = make_prompt("word " * 50, parameters=Parameters(max_completion_tokens=60))
    with pytest.raises(Rejected, match="52 tokens and the answer may take 60") as caught:
        rendering(templates, event, budget=Budget(100, 10))
    assert caught.value.code == "too_long"


def test_json_answers_are_not_asked_for_marks_that_would_break_them(
    templates: Templates, make_prompt: MakePrompt
) -> None:
    plain = rendering(templates, make_prompt("Why?"), [hit("x")]).messages[0].content
    parameters = Parameters(response_format=ResponseFormat(type="json_object"))
    json = rendering(templates, make_prompt("Why?", parameters=parameters), [hit("x")]).messages[0].content
    assert "[1]" in plain
    assert "[1]" not in json


def test_an_unknown_template_is_rejected_with_the_known_names(templates: Templates) -> None:
    with pytest.raises(Rejected, match=r"no template 'x@1'.*answer@1, chat@1") as caught:
        templates.write("x@1", Inputs("?"))
    assert caught.value.code == "unknown_template"


def test_only_templates_that_show_sources_need_them(templates: Templates) -> None:
    assert templates.shows_sources("answer@1")
    assert not templates.shows_sources("chat@1")
    assert not templates.shows_sources("unknown@1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{% block user %}{{ question }}{% endblock %}", 'needs a block "system"'),
        ("{% block system %}{% endblock %}{% block user %}{% endblock %}", "must show the question"),
        (GOOD.replace("question", "question | upper"), "must show the question"),
        (GOOD.replace("question", "quesiton"), "UndefinedError"),
        (GOOD.replace("question", "question"[:2] + " %}"), "TemplateSyntaxError"),
        (GOOD + "{{ ''.__class__.__mro__[1].__subclasses__() }}", ""),
    ],
)
def test_a_broken_template_stops_the_service_at_its_start(text: str, message: str) -> None:
    if not message:
        # Outside of the blocks nothing is written, so nothing runs.
        assert Templates({"x@1": text}).write("x@1", Inputs("a")).user == "a"
        return
    with pytest.raises(ValueError, match=message):
        Templates({"x@1": text})


@pytest.mark.parametrize("code", ["question.__class__.__mro__", "sources.append(1)", "cycler.__init__.__globals__"])
def test_a_template_cannot_leave_its_sandbox(code: str) -> None:
    with pytest.raises(ValueError, match=r"SecurityError|UndefinedError"):
        Templates({"x@1": GOOD.replace("{{ question }}", "{{ question }}{{ " + code + " }}")})


def test_an_operators_templates_are_read_beside_our_own(tmp_path: Path) -> None:
    (tmp_path / "short@2.jinja").write_text(GOOD)
    assert Templates(read_templates([OWN_TEMPLATES, tmp_path])).names == ["answer@1", "chat@1", "short@2"]


def test_a_published_template_cannot_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "answer@1.jinja").write_text(GOOD)
    with pytest.raises(ValueError, match="give it a new version"):
        read_templates([OWN_TEMPLATES, tmp_path])
    with pytest.raises(ValueError, match="no template folder"):
        read_templates([tmp_path / "nowhere"])


@pytest.mark.parametrize("name", ["answer", "Answer@1", "a b@1", "answer@x"])
def test_a_template_needs_a_name_with_a_version(name: str) -> None:
    with pytest.raises(ValueError, match="must look like answer@1"):
        Templates({name: GOOD})
