"""Token ids to text, bit by bit: whole characters only, and nothing at or past a stop string. Knows no tensors."""

from collections.abc import Sequence

from tokenizers import Tokenizer

_BROKEN = "\ufffd"


class Detokenizer:
    """Decodes a growing sequence. Holds tokens back while they end inside a character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0
        self._done = 0

    def push(self, token: int) -> str:
        """The text this token completes, often one word, empty while a character is incomplete."""
        self._ids.append(token)
        # Decoded with the tokens before it: some tokenizers write a space or not depending on the neighbour.
        before = self._decode(self._ids[self._start : self._done])
        now = self._decode(self._ids[self._start :])
        if now.endswith(_BROKEN) or len(now) <= len(before):
            return ""
        self._start, self._done = self._done, len(self._ids)
        return now[len(before) :]

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)


class StopScanner:
    """Lets text through up to the first stop string; holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """What is safe to show now."""
        buffer = self._held + text
        found = [index for stop in self._stops if (index := buffer.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return buffer[: min(found)]
        keep = max((_overlap(buffer, stop) for stop in self._stops), default=0)
        cut = len(buffer) - keep
        self._held = buffer[cut:]
        return buffer[:cut]

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
