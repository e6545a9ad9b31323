"""What an operator may set for feedback. Environment: `TAILRACE_FEEDBACK_STORE_URL` and so on."""

from datetime import timedelta

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class FeedbackSettings(BaseSettings):
    """The store, and how long feedback waits and answers are kept."""

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
