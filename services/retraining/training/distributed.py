"""The same training on several processes, by Ray Train: each sees the same folders, and the rows are dealt among them.

Ray's workers talk to each other by torch's own means (NCCL on GPUs, gloo elsewhere); TRL's trainer finds them by the
environment that Ray sets up.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from libs.ray_local import start_local_ray
from services.retraining.domain.job import Job
from services.retraining.training.choosing import chosen_rows
from services.retraining.training.reporting import JOURNAL, Reporting, Say, journal_of, writing_to
from services.retraining.training.run import Lot, device_of, train_here

_START_SECONDS = 120


def train_on_many(lot: Lot, say: Say) -> None:
    """Leaves the adapter in `work/adapter`. What one worker breaks on, all of them end on."""
    job = lot.job
    started = not ray.is_initialized()
    if started:
        _connect(job)
    over = threading.Event()
    telling = threading.Thread(target=_tell, args=(lot.work.parent / JOURNAL, say, over))
    telling.start()
    try:
        TorchTrainer(
            _work,
            train_loop_config={"job": job.model_dump_json(), "start": lot.start, "work": str(lot.work)},
            scaling_config=ScalingConfig(num_workers=job.workers, use_gpu=device_of(job).type == "cuda"),
            run_config=RunConfig(
                name=job.run_id, storage_path=str(lot.work / "ray"), failure_config=FailureConfig(max_failures=0)
            ),
        ).fit()
    finally:
        over.set()
        telling.join()
        if started:
            ray.shutdown()


def _tell(journal: Path, say: Say, over: threading.Event) -> None:
    """The first worker writes the journal; here is whoever waits for news."""
    told = len(journal_of(journal))
    while True:
        last = over.wait(1.0)
        reports = journal_of(journal)
        for report in reports[told:]:
            say(report)
        told = len(reports)
        if last:
            return


def _connect(job: Job) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if job.ray_address is None:
        # One more for the trainer itself, which asks for none but is placed by the same rules.
        start_local_ray(_START_SECONDS, cpus=job.workers + 1, **quiet)
    else:
        ray.init(address=job.ray_address, **quiet)


def _work(config: dict[str, Any]) -> None:
    """On each worker."""
    job = Job.model_validate_json(config["job"])
    dataset, selection = chosen_rows(job, config["start"])
    lot = Lot(job, config["start"], dataset, selection, Path(config["work"]), Path(config["work"]) / "rows")
    rank = ray.train.get_context().get_world_rank()
    say = writing_to(lot.work.parent / JOURNAL) if rank == 0 else lambda _report: None
    # Rows are written for each worker, since they all write at once.
    train_here(replace(lot, rows=lot.work / f"rows-{rank}"), Reporting(say, lambda: False))
