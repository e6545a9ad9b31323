"""Where adapters, verdicts and what serves lie: the environment says so, or else the local stack's data folder."""

from infra.local.home import Home, default_home
from libs.model_registry import Adapters, Champions, Examinations
from services.console.domain.models import Models
from services.console.settings import ConsoleSettings


def the_models(settings: ConsoleSettings) -> Models:
    """What commands are about."""
    home = Home(default_home())
    folder = settings.models or home.models
    return Models(Adapters(folder), Champions(folder), Examinations(settings.examinations or home.examinations))
