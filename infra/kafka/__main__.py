"""`python -m infra.kafka fetch | run | tool NAME ...`: the broker and Kafka's own tools from the command line."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.kafka import TOOLS, BrokerError, Cluster, JarError, fetch, jars_dir, make_startup_cache, tool_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; the exit status."""
    options = _parser().parse_args(argv)
    try:
        return int(options.command(options))
    except (BrokerError, JarError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.kafka", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("fetch", help="fetch and check the broker's jars").set_defaults(command=_fetch)
    commands.add_parser("relock", help="pin the jars anew (maintainers)").set_defaults(command=_relock)
    run = commands.add_parser("run", help="run a broker until Ctrl-C")
    run.add_argument("--folder", type=Path, default=Path(".tailrace/kafka"))
    run.add_argument("--brokers", type=int, default=1, choices=(1, 3))
    run.set_defaults(command=_run)
    tool = commands.add_parser("tool", help="run one of Kafka's own tools")
    tool.add_argument("name", choices=TOOLS)
    tool.add_argument("arguments", nargs=argparse.REMAINDER)
    tool.set_defaults(command=_tool)
    return parser


def _fetch(_: argparse.Namespace) -> int:
    sys.stdout.write(f"{len(fetch())} jars, all as pinned, in {jars_dir()}\n")
    if cache := make_startup_cache():
        sys.stdout.write(f"start-up cache {cache.name}, {cache.stat().st_size >> 20} MiB\n")
    return 0


def _relock(_: argparse.Namespace) -> int:
    # It imports jgo, which nothing else here needs.
    from infra.kafka._relock import relock  # noqa: PLC0415

    sys.stdout.write(f"{len(relock())} jars pinned\n")
    return 0


def _run(options: argparse.Namespace) -> int:
    signals = {signal.SIGINT, signal.SIGTERM}
    # Blocked before any thread starts, so that sigwait below gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with Cluster(options.folder, brokers=options.brokers, die_with_parent=True) as cluster:
        sys.stdout.write(f"{cluster.bootstrap_servers}\n")
        sys.stdout.flush()
        signal.sigwait(signals)
    return 0


def _tool(options: argparse.Namespace) -> int:
    command = tool_command(options.name, options.arguments)
    # The tool takes this process's place: its input, output and exit status are the caller's.
    os.execv(command[0], command)  # noqa: S606 -- no shell is what we want


if __name__ == "__main__":
    sys.exit(main())
