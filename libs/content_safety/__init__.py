"""Injection and toxicity by weighted phrases, without a model. One library, so that all judge texts alike.

Knows no policy and no events: who uses it decides what to do from which score on.
"""

from libs.content_safety.injection import PhraseInjectionDetector, Provenance
from libs.content_safety.toxicity import PhraseToxicityDetector

__all__ = ["PhraseInjectionDetector", "PhraseToxicityDetector", "Provenance"]
