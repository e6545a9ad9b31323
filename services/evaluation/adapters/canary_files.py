"""Plans of canaries in YAML, one in a file."""

from collections.abc import Mapping
from pathlib import Path

from libs.yaml_files import BadFileError, YamlForm
from services.evaluation.domain.canary import Canary
from services.evaluation.domain.gate import Gate

SHIPPED = Path(__file__).parents[1] / "canaries"
_FORM = YamlForm(Canary, "canary plan", "services/evaluation/canaries/default.yaml")


def read_canaries(folder: Path | None = None) -> dict[str, Canary]:
    """By name, those of the folder or the shipped one. Raises BadFileError with what is wrong and where."""
    return _FORM.read_folder(folder or SHIPPED)


def known_canaries(gates: Mapping[str, Gate], canaries: Mapping[str, Canary]) -> Mapping[str, Gate]:
    """The gates, if there is every plan that they name. Raises BadFileError."""
    for gate in gates.values():
        if gate.canary is not None and gate.canary not in canaries:
            raise BadFileError(
                f'gate "{gate.name}": there is no canary plan "{gate.canary}"; there are {", ".join(sorted(canaries))}'
            )
    return gates
