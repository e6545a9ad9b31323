"""A recipe: the method, its numbers, on which rows, from where, and when by itself.

Frozen and strict: an unknown name is an error, so that a misspelt number cannot fall back to a default in silence.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from libs.cron import checked_cron, checked_zone
from libs.rules import Rules, Section
from schemas.training import Method, RecipeName

Share = Annotated[float, Field(ge=0, le=1)]
Module = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.]+$", max_length=128)]


class Lora(Section):
    """Low-rank adaptation (Hu et al. 2021), as PEFT names it."""

    r: int = Field(default=16, ge=1, le=1024)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[Module, ...] | None = None
    """Names of modules. None: all linear layers but the head."""


class When(Section):
    """When a training is due by itself; both may be. Without either, only when somebody asks."""

    rows: int = Field(default=0, ge=0)
    """So many rows for training that the last training by this recipe did not have. 0: not for that."""
    cron: str | None = None
    """Then, if the latest data set is not the one that was trained on last."""
    timezone: str = "UTC"

    @field_validator("cron")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        return value if value is None else checked_cron(value)

    _known_zone = field_validator("timezone")(checked_zone)


class Recipe(Rules):
    """Names of numbers are TRL's and PEFT's where they have one."""

    name: RecipeName
    method: Method
    start: Literal["base", "champion"] = "base"
    """Trained on from the adapter in service, or from the bare base (also where no adapter is in service)."""
    rows: Literal["all", "new"] = "all"
    """`new`: those that the adapter it starts from has not seen, and a share of the others."""
    replay: float = Field(default=0.5, ge=0, le=100)
    """With `rows: new`, so many of the others for each new one, against forgetting; chosen by seed."""
    min_rows: int = Field(default=16, ge=2)
    """Fewer rows for training are refused."""
    seed: int = Field(default=7, ge=0, lt=2**32)
    when: When = When()

    lora: Lora = Lora()
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    num_train_epochs: float = Field(default=3, gt=0, le=1000)
    max_steps: int = Field(default=-1, ge=-1)
    """Where it is positive, instead of epochs."""
    per_device_train_batch_size: int = Field(default=4, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    warmup_steps: int = Field(default=0, ge=0)
    lr_scheduler_type: Literal["constant", "constant_with_warmup", "cosine", "linear"] = "cosine"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=1024, ge=16)
    """Tokens of prompt and completion; longer rows are cut."""
    gradient_checkpointing: bool = False
    """Less memory, a third more time."""
    precision: Literal["float32", "bfloat16"] = "float32"
    beta: float = Field(default=0.1, gt=0)
    """DPO and KTO: how closely it stays with what it started from."""
    sft_weight: float = Field(default=0.0, ge=0)
    """DPO: weight of the plain likelihood of the chosen answer beside the preference (RPO, Pang et al. 2024)."""
    desirable_weight: float = Field(default=1.0, gt=0)
    undesirable_weight: float = Field(default=1.0, gt=0)
    """KTO: for data with more of the one than of the other."""
    save_steps: int = Field(default=50, ge=1)
    """A checkpoint after so many steps: as much is done again after a crash, at most."""
    logging_steps: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.rows == "new" and self.start == "base":
            raise ValueError('"rows: new" needs "start: champion": the bare base has seen none of them')
        if self.method == "kto" and self.per_device_train_batch_size < 2:
            raise ValueError('"per_device_train_batch_size" of kto must be 2 or more: it compares rows of a batch')
        if self.sft_weight and self.method != "dpo":
            raise ValueError('"sft_weight" belongs to dpo')
        return self
