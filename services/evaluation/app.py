"""Evaluation hears of trained adapters and wishes, and says verdicts and what serves.

The only place where its parts are made.
"""

from pathlib import Path

from pydantic import SecretStr

from libs.model_registry import Adapters, Champions, Examinations, registry_uri
from libs.personal_data import PatternDetector
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from schemas.documents import DocumentIndexed
from schemas.evaluation import CanaryProgressed, EvaluationRequested, PromotionRequested
from services.evaluation.adapters.canary_files import known_canaries, read_canaries
from services.evaluation.adapters.child import ChildExaminer
from services.evaluation.adapters.exam_folder import ExamFolder
from services.evaluation.adapters.gate_files import read_gates
from services.evaluation.adapters.knowledge import LoggedKnowledge
from services.evaluation.adapters.mirror import Mirror
from services.evaluation.adapters.observing import HEARD
from services.evaluation.adapters.watch import FOLDER, Watch
from services.evaluation.domain.exam import Exam, evaluation_id_of
from services.evaluation.domain.gate import Gate
from services.evaluation.ports import Examiner
from services.evaluation.routes import routes
from services.evaluation.settings import EvaluationSettings


def create_app(
    settings: EvaluationSettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
    examiner: Examiner | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs. `examiner`: in place of processes of its own."""
    chosen = settings or EvaluationSettings()

    def build(runtime: Runtime) -> Parts:
        data = runtime.settings.data_dir
        reports = (chosen.reports or data / "evaluation").absolute()
        models = (chosen.models or data / "models").absolute()
        datasets = (chosen.datasets or data / "feedback" / "datasets").absolute()
        registry = _registry(chosen, chosen.registry_folder or data / "mlflow")
        champions = Champions(models)

        def make_exam(event: EvaluationRequested, gate: Gate, champion: str | None) -> Exam:
            return Exam(
                evaluation_id=evaluation_id_of(event.request_id),
                request_id=event.request_id,
                model=event.model,
                champion=champion,
                gate=gate,
                dataset=event.dataset or gate.dataset,
                datasets=datasets,
                models=models,
                base=chosen.base,
                device=chosen.device,
                threads=chosen.threads,
            )

        canaries = read_canaries(chosen.canaries)
        gates = known_canaries(read_gates(chosen.gates), canaries)
        mirror = Mirror(champions, Examinations(reports), registry, look=chosen.look)
        watch = Watch(
            runtime.bus, champions, reports / FOLDER, canaries, runtime.clock, runtime.metrics,
            look=chosen.watch, progress_every=chosen.progress_every,
        )  # fmt: skip
        return Parts(
            routes=routes(
                champions,
                Adapters(models),
                ExamFolder(reports),
                runtime.clock,
                chosen.retry_for,
                by_itself=chosen.by_itself,
                gates=gates,
                canaries=canaries,
                examiner=examiner or ChildExaminer(reports, registry, chosen.judge_api_key),
                knowledge=LoggedKnowledge(runtime.bus, reports, chosen.documents, PatternDetector().find),
                make_exam=make_exam,
                progress_every=chosen.progress_every,
            ),
            reads=(DocumentIndexed, *HEARD),
            emits=(CanaryProgressed, PromotionRequested),
            resources=(mirror, watch) if runtime.settings.instance == 0 else (),
        )

    summary = "Candidates are examined against the champion; what passes the gate serves, and can be rolled back."
    return Service("evaluation", summary, service_settings or ServiceSettings(), bus_settings or BusSettings(), build)


def _registry(settings: EvaluationSettings, folder: Path) -> SecretStr:
    chosen = settings.mlflow_uri.get_secret_value() if settings.mlflow_uri is not None else None
    return SecretStr(registry_uri(chosen, folder))
