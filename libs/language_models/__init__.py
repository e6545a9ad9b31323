"""Causal language models: folders on disk, token counts, and the engine that runs them.

Importing this package loads neither torch nor transformers; `libs.language_models.engine` does.
"""

from libs.language_models.chat import ChatMessage, ChatTemplate
from libs.language_models.prepare import DEFAULT_MODEL, default_model_dir, resolve_model
from libs.language_models.tokens import TokenCounter

__all__ = [
    "DEFAULT_MODEL",
    "ChatMessage",
    "ChatTemplate",
    "TokenCounter",
    "default_model_dir",
    "resolve_model",
]
