"""`python -m libs.language_models [--model NAME_OR_PATH]`: prepares a model's folder ahead of time and prints it."""

import argparse
import sys

from libs.language_models.prepare import DEFAULT_MODEL, resolve_model


def main(arguments: list[str] | None = None) -> int:
    """Prints the prepared folder; 1 and a sentence on stderr if there is none."""
    parser = argparse.ArgumentParser(prog="python -m libs.language_models", description="Prepares a model.")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="the default's name, a folder, or a hub id")
    try:
        sys.stdout.write(f"{resolve_model(parser.parse_args(arguments).model)}\n")
    except (LookupError, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
