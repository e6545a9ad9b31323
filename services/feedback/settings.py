"""What an operator may set for feedback. Environment: `TAILRACE_FEEDBACK_STORE_URL` and so on."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class FeedbackSettings(BaseSettings):
    """The store, how long feedback waits and answers are kept, and when data sets are made."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_FEEDBACK_", frozen=True, extra="ignore")

    store_url: SecretStr | None = None
    """SQLAlchemy's address of a database, e.g. `postgresql://user:password@host/name`. None: SQLite in the data folder,
    which one instance alone can use."""
    wait_for: timedelta = Field(default=timedelta(hours=24), gt=timedelta(0))
    """How long feedback waits for a response that is not known yet."""
    keep: timedelta = Field(default=timedelta(days=30), gt=timedelta(0))
    """How long after an answer feedback about it is taken; an answer that nobody judged is removed then."""
    keep_examples: timedelta = Field(default=timedelta(days=365), gt=timedelta(0))
    """How long after an answer its example is kept: until then withdrawals and erasures reach it."""
    max_judgements: int = Field(default=1000, ge=1)
    """Of one example; the event's size limit holds besides."""
    sweep_every: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """How often the store is looked through for what has expired."""
    batch: int = Field(default=512, ge=1)
    """Facts written in one transaction, at most."""
    datasets: Path | None = None
    """Folder of the data sets. None: `feedback/datasets` in the data folder."""
    policy: Path | None = None
    """YAML file: what becomes a row. None: the shipped one (libs/datasets/policies/default.yaml)."""
    publish_after: int = Field(default=1000, ge=0)
    """A data set is made when so many examples are new or changed since the last one; 0: not for that."""
    publish_cron: str | None = None
    """A data set is made at these times, if any example is new or changed, e.g. `30 2 * * *`."""
    publish_timezone: str = "UTC"
    """IANA name of the time zone of `publish_cron`."""
    publish_look: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """How often it is looked whether a data set is due."""
