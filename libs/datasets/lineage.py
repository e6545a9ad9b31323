"""From an answer, a prompt or a judgement to the rows made of it, and from a row to what it was made of."""

import json
from collections.abc import Iterator

from libs.datasets.dataset import Dataset, RowLineage


def lineage_of(dataset: Dataset, wanted: str) -> Iterator[RowLineage]:
    """Rows of the data set that are `wanted`, or made of it: a row id, response id, prompt id or feedback id."""
    # A quick look at the bytes first; what JSON writes otherwise than it is said is written the same way here.
    needle = json.dumps(wanted, ensure_ascii=False).encode()
    for line in dataset.lineage_lines(needle):
        row = RowLineage.of(line)
        if wanted == row.row or wanted in _origins(row):
            yield row


def _origins(row: RowLineage) -> set[str]:
    ids = {name for answer in row.answers for name in (answer.response_id, answer.prompt_id)}
    return ids | set(row.feedback)
