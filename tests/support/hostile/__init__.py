"""Hostile records for the public topics: the committed examples, damaged in ways that know their structure. Seeded.

The same seed gives the same records. Knows nothing of what becomes of them.
"""

from tests.support.hostile.cases import Case, cases

__all__ = ["Case", "cases"]
