"""Gates in YAML, one in a file."""

from pathlib import Path

from libs.yaml_files import BadFileError, YamlForm
from services.evaluation.domain.gate import Gate
from services.evaluation.handlers import DEFAULT_GATE

SHIPPED = Path(__file__).parents[1] / "gates"
_FORM = YamlForm(Gate, "gate", "services/evaluation/gates/default.yaml")


def read_gates(folder: Path | None = None) -> dict[str, Gate]:
    """By name, those of the folder or the shipped one. Raises BadFileError with what is wrong and where."""
    found = _FORM.read_folder(folder or SHIPPED)
    if DEFAULT_GATE not in found:
        raise BadFileError(
            f'{folder}: none of its gates has the name "{DEFAULT_GATE}", which is asked where none is named'
        )
    return found
