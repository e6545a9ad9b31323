"""Data sets for training: examples and a policy in, an immutable folder named by its content hash out.

`Datasets` holds them, `read_policy` says what becomes what. Knows no broker (but for `libs.datasets.log`)
and no training library.
"""

from libs.datasets._build import Build, Published
from libs.datasets._faults import fault_of_row
from libs.datasets._names import FORMS, KINDS, SPLITS, Form, Kind, Origin, Split
from libs.datasets._policy_file import DEFAULT_POLICY, BadPolicyError, parse_policy, read_policy
from libs.datasets._rows import COLUMNS
from libs.datasets.announcing import announcement, announcement_id
from libs.datasets.dataset import Answered, Dataset, DatasetError, EmptyDatasetError, RowLineage
from libs.datasets.diff import Change, Difference, diff
from libs.datasets.lineage import lineage_of
from libs.datasets.manifest import FileFact, Manifest, PolicyUsed
from libs.datasets.policy import Policy
from libs.datasets.store import Datasets

__all__ = [
    "COLUMNS",
    "DEFAULT_POLICY",
    "FORMS",
    "KINDS",
    "SPLITS",
    "Answered",
    "BadPolicyError",
    "Build",
    "Change",
    "Dataset",
    "DatasetError",
    "Datasets",
    "Difference",
    "EmptyDatasetError",
    "FileFact",
    "Form",
    "Kind",
    "Manifest",
    "Origin",
    "Policy",
    "PolicyUsed",
    "Published",
    "RowLineage",
    "Split",
    "announcement",
    "announcement_id",
    "diff",
    "fault_of_row",
    "lineage_of",
    "parse_policy",
    "read_policy",
]
