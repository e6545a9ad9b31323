"""What became of examinations, one folder each: the service keeps it there, the console reads it."""

from pathlib import Path

from libs.files import write_whole
from schemas.evaluation import ModelEvaluated

EVALUATED, REPORT = "evaluated.json", "report.md"


class Examinations:
    """In a folder. All methods block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, said: ModelEvaluated, report: str) -> None:
        """On disk when it returns, the report for people first."""
        place = self.folder / said.evaluation_id
        write_whole(place / REPORT, report)
        write_whole(place / EVALUATED, said.model_dump_json(indent=2), durable=True)

    def said(self, evaluation_id: str) -> ModelEvaluated | None:
        """How that one ended."""
        try:
            return ModelEvaluated.model_validate_json((self.folder / evaluation_id / EVALUATED).read_bytes())
        except FileNotFoundError:
            return None

    def all(self) -> tuple[ModelEvaluated, ...]:
        """Those that have ended, the oldest first."""
        folders = (path.parent.name for path in self.folder.glob(f"*/{EVALUATED}"))
        found = [said for name in folders if (said := self.said(name)) is not None]
        return tuple(sorted(found, key=lambda it: (it.evaluated_at, it.evaluation_id)))

    def last(self, model: str) -> ModelEvaluated | None:
        """The adapter's newest."""
        return next((said for said in reversed(self.all()) if said.model == model), None)
