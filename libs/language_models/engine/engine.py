"""The engine as its clients see it: `async for` over the text of a generation; a thread of its own does the work.

Leaving the loop early (or cancelling the task) frees the slot at the next step. An error in one request ends that
request; an error in the model ends all of them, and the engine says so through `ready` and to whoever comes after.
"""

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from libs.language_models.engine.adapter_files import read_adapter
from libs.language_models.engine.batch import Batch
from libs.language_models.engine.grammar import GrammarCompiler
from libs.language_models.engine.low_rank import LowRank, layers_of
from libs.language_models.engine.runner import Runner
from libs.language_models.engine.sampling import Sampler
from libs.language_models.engine.sequence import Listener, Sequence
from libs.language_models.engine.waiting import WaitingRoom
from libs.language_models.engine.weights import Device, Precision, context_window, load_model
from libs.language_models.generation import (
    Delta,
    EngineDown,
    Finished,
    GenerationRequest,
    PromptTooLong,
    UnknownAdapter,
)
from libs.language_models.tokens import TokenCounter


@dataclass(frozen=True)
class EngineSettings:
    """How an engine runs. Every default suits a laptop."""

    slots: int = 16
    """Generations at once."""
    reserved_slots: int = 2
    """Of these, slots that batch work never takes."""
    max_tokens: int = 512
    """New tokens where a request names no limit."""
    context_tokens: int | None = None
    """Prompt and answer together at most; None: the model's own window."""
    read_tokens: int = 256
    """Prompt tokens read between two steps: larger reads faster, smaller keeps other streams smoother."""
    batch_read_tokens: int = 64
    """The same of a batch prompt, one of them between two steps: bounds how long a real-time prompt waits for it."""
    precision: Precision = "auto"
    device: Device = "auto"
    threads: int | None = None
    """CPU threads of torch; None: torch's own choice."""


class Engine:
    """One loaded model and its batching loop. `start` before use, `close` after."""

    def __init__(
        self,
        model: PreTrainedModel,
        counter: TokenCounter,
        settings: EngineSettings,
        *,
        draw_seed: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        self.context_tokens = min(settings.context_tokens or 2**31, context_window(model))
        self._counter = counter
        self._settings = settings
        self._draw_seed = draw_seed
        self._ends = _end_tokens(model, counter)
        self._grammars: GrammarCompiler | None = None
        self._model = model
        self._adapters: dict[str, LowRank] = {}
        waiting: WaitingRoom[Sequence] = WaitingRoom(settings.slots, settings.reserved_slots)
        runner = Runner(model, settings.slots, self.context_tokens)
        self._waiting = waiting
        self._batch = Batch(
            runner, waiting, read_tokens=settings.read_tokens, batch_read_tokens=settings.batch_read_tokens
        )
        self._arrived = threading.Condition()
        self._arrivals: list[Sequence] = []
        self._closing = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @classmethod
    def load(cls, folder: Path, settings: EngineSettings | None = None) -> "Engine":
        """Loads model and tokenizer from a folder (see `resolve_model`); not yet started."""
        chosen = settings or EngineSettings()
        if chosen.threads is not None:
            torch.set_num_threads(chosen.threads)
        model = load_model(folder, precision=chosen.precision, device=chosen.device)
        return cls(model, TokenCounter.from_folder(folder), chosen)

    def start(self) -> None:
        """Starts the batching loop."""
        self._thread.start()

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Ends the loop after its current step; generations under way end with EngineDown."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    @property
    def ready(self) -> bool:
        """Whether a request would be served."""
        return self._thread.is_alive() and not self._closing and self._failure is None

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of those that requests may name."""
        return tuple(self._adapters)

    def load_adapter(self, folder: Path) -> None:
        """From now on requests may name the adapter in this folder, by the folder's name. The same again is nothing.

        Blocks until it is read, from any thread; the engine goes on meanwhile. Raises UnusableAdapter.
        """
        if folder.name not in self._adapters:
            weight = next(self._model.parameters())
            found = read_adapter(folder, layers_of(self._model), dtype=weight.dtype, device=weight.device)
            self._adapters[folder.name] = found

    def unload_adapter(self, name: str) -> None:
        """New requests may no longer name it. What was submitted before ends with it, and then its memory is free."""
        self._adapters.pop(name, None)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta | Finished, None]:
        """Text as it is written, then `Finished`.

        Raises PromptTooLong, InvalidChat, InvalidSchema, UnknownAdapter (all ValueError: the request is wrong),
        GenerationFailed (this request broke) or EngineDown (nothing will be served).
        """
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[Delta | Finished | Exception] = asyncio.Queue()

        def listen(event: Delta | Finished | Exception) -> None:
            # A loop that has closed has no one left to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(heard.put_nowait, event)

        sequence = self.submit(request, listen)
        try:
            while True:
                event = await heard.get()
                if isinstance(event, Exception):
                    raise event
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            sequence.cancel()

    def submit(self, request: GenerationRequest, listener: Listener) -> Sequence:
        """Queues a request; `listener` hears it from the engine's thread. Raises as `generate` does."""
        sequence = self._sequence(request, listener)
        with self._arrived:
            if self._closing or self._failure is not None:
                raise EngineDown(self._why_down())
            self._arrivals.append(sequence)
            self._arrived.notify()
        return sequence

    def _sequence(self, request: GenerationRequest, listener: Listener) -> Sequence:
        prompt = self._counter.encode_messages(request.messages)
        room = self.context_tokens - len(prompt)
        if room < 1:
            raise PromptTooLong(f"the prompt has {len(prompt)} tokens; the context window is {self.context_tokens}")
        greedy = request.temperature == 0
        seed = request.seed if request.seed is not None else (0 if greedy else self._draw_seed())
        return Sequence(
            prompt=prompt,
            max_tokens=min(request.max_tokens or self._settings.max_tokens, room),
            sampler=Sampler(request.temperature, request.top_p, seed, request.repetition_penalty),
            stops=request.stop,
            lane=request.lane,
            listener=listener,
            tokenizer=self._counter.tokenizer,
            end_tokens=self._ends,
            grammar=None if request.json_schema is None else self._compiler().compile(request.json_schema),
            adapter=self._adapter(request.adapter),
        )

    def _adapter(self, name: str | None) -> LowRank | None:
        if name is None:
            return None
        if (found := self._adapters.get(name)) is None:
            raise UnknownAdapter(f'no adapter "{name}" is loaded')
        return found

    def _compiler(self) -> GrammarCompiler:
        if self._grammars is None:
            self._grammars = GrammarCompiler(self._counter.tokenizer, min(self._ends))
        return self._grammars

    # -- the engine's thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._take_arrivals():
                self._batch.step()
        except Exception as error:
            self._failure = error
        self._dismiss()

    def _take_arrivals(self) -> bool:
        """Waits while there is nothing to do. False when closing."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._closing or self._arrivals or not self._batch.idle)
            arrivals, self._arrivals = self._arrivals, []
            for sequence in arrivals:
                self._waiting.add(sequence, sequence.lane)
            return not self._closing

    def _dismiss(self) -> None:
        with self._arrived:
            self._closing = True
            left = [*self._batch.everyone(), *self._arrivals]
            self._arrivals = []
        for sequence in left:
            if not sequence.over:
                sequence.fail(EngineDown(self._why_down()))

    def _why_down(self) -> str:
        if self._failure is not None:
            return f"the engine broke: {type(self._failure).__name__}: {self._failure}"
        return "the engine is closed"


def _end_tokens(model: PreTrainedModel, counter: TokenCounter) -> frozenset[int]:
    """Ids that end an answer, by the model's generation defaults and by its chat template."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    ids = [*ids, counter.tokenizer.token_to_id(counter.template.eos_token)]
    return frozenset(int(token) for token in ids if token is not None)
