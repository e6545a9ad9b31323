"""The checker: whether a range of the log keeps what is promised. One outcome per prompt, nothing unchecked, in order.

`check` reads a log, `check_records` takes records at hand; both return a `Report`. Reads only.
"""

from libs.audit._audit import Audit, check_records, whole
from libs.audit._check import Commits, Progress, check
from libs.audit._commits import kafka_commits
from libs.audit._facts import Place
from libs.audit._report import KINDS, MEANINGS, Finding, Kind, PromptCount, Report, TopicCount
from libs.audit._span import Extent, Scope, Span

__all__ = [
    "KINDS",
    "MEANINGS",
    "Audit",
    "Commits",
    "Extent",
    "Finding",
    "Kind",
    "Place",
    "Progress",
    "PromptCount",
    "Report",
    "Scope",
    "Span",
    "TopicCount",
    "check",
    "check_records",
    "kafka_commits",
    "whole",
]
