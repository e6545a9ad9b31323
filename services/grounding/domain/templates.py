"""Versioned prompt templates: Jinja in a sandbox, two blocks each: `system` and `user`.

A template sees `question`, `sources` (number, title, location, text), `system` (the upstream's own words) and `json`
(whether the answer must be JSON). Nothing is escaped: a model reads text, and safety must find each source verbatim.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.loaders import DictLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment

from libs.bus import Rejected
from schemas.prompts import SourceText

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}@[0-9]{1,6}")
_QUESTION = "A question?"
_SAMPLE = SourceText(number=1, document_id="sample", title="Sample", location="Start", score=1.0, text="Sample text.")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a template may use."""

    question: str
    system: str = ""
    sources: Sequence[SourceText] = ()
    json: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a template made: an empty system text means no system message."""

    system: str
    user: str


class Templates:
    """All templates by `name@version`. Raises ValueError if one is broken, so that a service fails at its start."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            loader=DictLoader(dict(texts)),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates = {name: _checked(environment, name) for name in texts}
        self._grounded = {name for name, template in self._templates.items() if _shows_sources(template)}

    @property
    def names(self) -> list[str]:
        """Every known `name@version`."""
        return sorted(self._templates)

    def shows_sources(self, name: str) -> bool:
        """Whether it is worth looking for sources. An unknown name is reported when it is written."""
        return name in self._grounded

    def write(self, name: str, inputs: Inputs) -> Written:
        """Fills one template. Raises Rejected (`unknown_template`) if there is none of that name."""
        if (template := self._templates.get(name)) is None:
            known = ", ".join(self.names)
            raise Rejected(f"there is no template {name!r}; there are: {known}", code="unknown_template")
        try:
            return _write(template, inputs)
        except TemplateError as error:
            raise Rejected(f"template {name} failed: {type(error).__name__}", code="internal_error") from None


def _checked(environment: ImmutableSandboxedEnvironment, name: str) -> Template:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"template {name!r}: the name must look like answer@1")
    try:
        template = environment.get_template(name)
        for sources in ((), (_SAMPLE,)):
            if _QUESTION not in _write(template, Inputs(_QUESTION, "Be brief.", sources)).user:
                raise ValueError(f'template {name} must show the question unchanged in its block "user"')
    except TemplateError as error:
        raise ValueError(f"template {name}: {type(error).__name__}: {error}") from error
    return template


def _shows_sources(template: Template) -> bool:
    written = _write(template, Inputs(_QUESTION, "", (_SAMPLE,)))
    return _SAMPLE.text in written.user or _SAMPLE.text in written.system


def _write(template: Template, inputs: Inputs) -> Written:
    variables = {
        "question": inputs.question,
        "system": inputs.system,
        "sources": inputs.sources,
        "json": inputs.json,
    }
    parts = {}
    for block in ("system", "user"):
        if block not in template.blocks:
            raise TemplateError(f'a template needs a block "{block}"')
        parts[block] = "".join(template.blocks[block](template.new_context(variables))).removesuffix("\n")
    return Written(**parts)
