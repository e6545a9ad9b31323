"""`tailrace`, or `python -m services.console`."""

import logging
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from typer import Abort, TyperException
from typer.main import get_command

from libs.bus import explain
from services.console.adapters.terminal import err
from services.console.app import create_app
from services.console.domain.errors import ConsoleError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. What goes wrong is one line on stderr."""
    # aiokafka reports every attempt to connect; the command says it once, in its own words.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        done = get_command(create_app())(arguments, prog_name="tailrace", standalone_mode=False)
    except (ConsoleError, TyperException, Abort, OSError, ValueError) as error:
        return _fail(*_told(error))
    # Typer makes an exit code of Ctrl-C.
    return _fail("interrupted", done) if done == INTERRUPTED else int(done or 0)


def _fail(message: str, code: int) -> int:
    if message:
        err().print(f"tailrace: {message}", markup=False, soft_wrap=True)
    return code


def _told(error: BaseException) -> tuple[str, int]:
    """What to say, and the exit code."""
    match error:
        case ConsoleError():
            return str(error), error.exit_code
        case TyperException():
            return error.format_message(), error.exit_code
        case Abort():
            return "interrupted", INTERRUPTED
        case ValidationError():
            return f"the environment holds a wrong setting: {explain(error)}", 2
        case BrokenPipeError():
            return "", 1
    return str(error), 1


if __name__ == "__main__":
    sys.exit(main())
