"""Safety hears grounded prompts and what the model wrote, and says cleared or refused.

The only place where its parts are made.
"""

import time

from libs.content_safety import PhraseInjectionDetector, PhraseToxicityDetector
from libs.personal_data import PatternDetector
from libs.sealing import Sealer, UnusableKeyError
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Metrics, get_logger
from services.safety.adapters.policy_folder import PolicyFolder, Reload
from services.safety.ports import Detectors
from services.safety.routes import routes
from services.safety.settings import SafetySettings


def create_app(
    settings: SafetySettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs."""
    chosen = settings or SafetySettings()

    def build(runtime: Runtime) -> Parts:
        detectors = Detectors(
            PatternDetector(chosen.phone_regions), PhraseInjectionDetector(), PhraseToxicityDetector()
        )
        policies = _policies(chosen, runtime.metrics)
        return Parts(routes=routes(policies, detectors, _sealer(chosen), runtime.clock, runtime.metrics))

    return Service(
        "safety",
        "The gate: examines and masks prompts before the model, answers after it.",
        service_settings or ServiceSettings(),
        bus_settings or BusSettings(),
        build,
    )


def _sealer(settings: SafetySettings) -> Sealer:
    try:
        return Sealer(settings.seal_public_key)
    except UnusableKeyError as error:
        hint = "set TAILRACE_SAFETY_SEAL_PUBLIC_KEY to the public key that libs.sealing.write_key_file returns"
        raise UnusableKeyError(f"{error}; {hint}") from error


def _policies(settings: SafetySettings, metrics: Metrics) -> PolicyFolder:
    log = get_logger("policy")

    def report(reload: Reload, detail: str) -> None:
        metrics.count("tailrace.policy.reloads", 1, {"result": reload})
        (log.info if reload == "loaded" else log.error)("policy " + reload, detail=detail)

    return PolicyFolder(
        settings.policy_dir, now=time.monotonic, report=report, check_every=settings.policy_check_seconds
    )
