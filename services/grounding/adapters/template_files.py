"""Templates from folders: the service's own, then an operator's. One file `name@version.jinja` each."""

from collections.abc import Sequence
from pathlib import Path

OWN_TEMPLATES = Path(__file__).parent.parent / "templates"


def read_templates(folders: Sequence[Path]) -> dict[str, str]:
    """Texts by `name@version`. Raises ValueError if a name is given twice: a published version must not change."""
    texts: dict[str, str] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no template folder {folder}")
        for file in sorted(folder.glob("*.jinja")):
            if file.stem in texts:
                raise ValueError(f"{file}: template {file.stem} exists already; give it a new version")
            texts[file.stem] = file.read_text(encoding="utf-8")
    return texts
