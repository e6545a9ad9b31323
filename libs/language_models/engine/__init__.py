"""The engine: one model, many generations at once, batched anew at each step. Importing this loads torch."""

from libs.language_models.engine.engine import Engine, EngineSettings
from libs.language_models.engine.weights import Precision, load_model

__all__ = ["Engine", "EngineSettings", "Precision", "load_model"]
