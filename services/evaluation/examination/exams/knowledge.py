"""Questions on the knowledge base: whether the right passages are found, and the models read them aright."""

from collections.abc import Iterable, Sequence

from schemas.evaluation import MetricName
from services.evaluation.domain.exam import Scores
from services.evaluation.examination.asking import OFF, Found, Given, Planned, Sample, Tick, nothing
from services.evaluation.examination.passages import Knowledge, embedder_of, read_knowledge
from services.evaluation.examination.questions import Kind, Question, is_right, questions
from services.evaluation.examination.students import BOTH, Students
from services.evaluation.examination.tokens import Chat, Reader
from services.evaluation.examination.writing_by_both import batches_of, written_by_both

METRICS: dict[Kind, MetricName] = {"easy": "rag_easy", "complex": "rag_complex", "distracting": "rag_distracting"}
_ALL: tuple[MetricName, ...] = ("rag_retrieval", *METRICS.values())
FILE = "knowledge.jsonl"
_DOCUMENTS, _SOURCES, _TOKENS = 3, 4, 24
_LONGEST = 768
"""Tokens of a prompt with its answer: reading the sources is most of what this exam costs."""
_SYSTEM = "You answer questions with as few words as you can, using the sources you are given."


def knowledge(given: Given) -> Planned:
    """`rag_retrieval`, `rag_easy`, `rag_complex` and `rag_distracting`."""
    name, exams = "knowledge", given.gate.exams
    if not exams.questions:
        return nothing(name, _ALL, OFF)
    known = read_knowledge(given.folder / FILE)
    if known is None or known.documents < _DOCUMENTS:
        return nothing(name, _ALL, f"the knowledge base has fewer than {_DOCUMENTS} documents")
    asked = questions(known, exams.questions, given.gate.seed)
    if not asked:
        return nothing(name, _ALL, "the knowledge base has no sentences to ask about")
    try:
        vectors = embedder_of(known.model, given.case.exam.threads).embed([it.text for it in asked])
    except (ImportError, OSError, ValueError) as error:
        return nothing(name, _ALL, f"the knowledge base's embedding model {known.model} is not here: {error}"[:500])
    if vectors.shape[1] != known.vectors.shape[1]:
        return nothing(name, _ALL, f"the knowledge base's vectors are not of {known.model} as it is here")
    places = known.found(vectors, _SOURCES)
    prompts = [
        _prompt(given.reader, known, it, _shown(known, it, found)) for it, found in zip(asked, places, strict=True)
    ]

    def ask(students: Students, tick: Tick) -> Found:
        texts = written_by_both(students, tick, prompts, _TOKENS, given.reader)
        return _found(asked, places, *(texts[who] for who in BOTH))

    return Planned(name, 2 * len(batches_of(prompts)), ask)


def _shown(known: Knowledge, question: Question, found: Sequence[int]) -> list[int]:
    """The passages that the models see, as they see them."""
    if question.kind != "distracting":
        return list(found)
    first = known.misleading(question.sources[0], question.terms)
    return [*([first] if first is not None else []), *(it for it in found if it != first)][:_SOURCES]


def _prompt(reader: Reader, known: Knowledge, question: Question, shown: Sequence[int]) -> list[int]:
    """As many of the passages as there is room for; the last are left out first, and the only one is cut."""
    room = min(reader.most, _LONGEST) - _TOKENS
    texts = [known.passages[place].text for place in shown]
    while len(found := reader.prompt(_messages(question.text, texts))) > room and texts:
        over = len(found) - room
        texts = texts[:-1] if len(texts) > 1 else _cut(reader, texts[0], over)
    return found


def _cut(reader: Reader, text: str, over: int) -> list[str]:
    left = reader.count(text) - over
    return [reader.cut(text, left)] if left > 0 else []


def _messages(question: str, texts: Iterable[str]) -> Chat:
    sources = "".join(f"[{number}] {text}\n\n" for number, text in enumerate(texts, start=1))
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": f"{sources}{question}"}]


def _found(
    asked: Sequence[Question], places: Sequence[Sequence[int]], candidate: Sequence[str], champion: Sequence[str]
) -> Found:
    retrieved = tuple(
        (sum(source in found for source in it.sources) / len(it.sources), 1.0)
        for it, found in zip(asked, places, strict=True)
    )
    groups = tuple(it.document for it in asked)
    scores = [Scores(metric="rag_retrieval", candidate=retrieved, champion=retrieved, groups=groups)]
    missing: dict[MetricName, str] = {}
    for kind, metric in METRICS.items():
        chosen = [number for number, it in enumerate(asked) if it.kind == kind]
        if not chosen:
            missing[metric] = "the knowledge base has no documents of two passages with sentences to ask about"
            continue
        one, other = (
            tuple((float(is_right(texts[it], asked[it].terms)), 1.0) for it in chosen)
            for texts in (candidate, champion)
        )
        scores.append(Scores(metric=metric, candidate=one, champion=other, groups=tuple(groups[it] for it in chosen)))
    samples = tuple(
        Sample(exam="knowledge", prompt=it.text, reference=", ".join(it.terms), candidate=one, champion=other)
        for it, one, other in zip(asked, candidate, champion, strict=True)
    )
    return Found(scores=tuple(scores), missing=missing, samples=samples)
