"""How an examination ends otherwise than in figures. Each message is one line and says what to do."""


class RefusedError(ValueError):
    """The candidate itself cannot be examined: it is damaged, or belongs to another base."""


class UnknownError(ValueError):
    """There is nothing to examine: no such adapter, no such data set, or rows that are none."""


class BrokenError(RuntimeError):
    """Something else is broken, the champion or the judge; it says nothing about the candidate."""


class RegistryAwayError(RuntimeError):
    """The registry could not be asked. Try again later."""
