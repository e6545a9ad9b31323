"""Personal data and secrets: found, named, replaced by placeholders. One library, so that every copy gets one decision.

Patterns and check digits, no model. Knows no policy, no events and no store: who uses it decides what to do with what
it finds.
"""

from libs.personal_data._detector import PHONE_REGIONS, PatternDetector
from libs.personal_data._findings import ENTITY_TYPES, GUESSES, EntityType, Finding, without_overlaps
from libs.personal_data._placeholders import already_written, blank_out, marker, numbered
from libs.personal_data._replacing import Find, Unmaskable, replaced
from libs.personal_data._text import Plain, plain
from libs.personal_data._together import MaskedTogether, mask_together

__all__ = [
    "ENTITY_TYPES",
    "GUESSES",
    "PHONE_REGIONS",
    "EntityType",
    "Find",
    "Finding",
    "MaskedTogether",
    "PatternDetector",
    "Plain",
    "Unmaskable",
    "already_written",
    "blank_out",
    "marker",
    "mask_together",
    "numbered",
    "plain",
    "replaced",
    "without_overlaps",
]
