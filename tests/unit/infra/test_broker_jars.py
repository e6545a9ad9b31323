"""The broker's jars: each as pinned, mended when damaged, refused when wrong, whoever else fetches at the same time."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest

from infra.kafka import JarError
from infra.kafka._jars import Jar, fetch, pinned

CONTENT = {"org/one/a/1.0/a-1.0.jar": b"first jar", "org/one/b/2.0/b-2.0.jar": b"second jar"}
JARS = [Jar(hashlib.sha256(body).hexdigest(), PurePosixPath(path)) for path, body in CONTENT.items()]


class Repository:
    """Serves jars from memory as the download would, and counts what was asked for."""

    def __init__(self, content: dict[str, bytes] = CONTENT) -> None:
        self.content = content
        self.asked: list[str] = []

    def __call__(self, jar: Jar, staging: Path) -> Path:
        self.asked.append(jar.coordinate)
        file = staging / jar.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.content[str(jar.path)])
        return file


def test_what_is_pinned_names_kafka_its_tools_and_a_logger_once() -> None:
    coordinates = [jar.coordinate for jar in pinned()]
    assert {"org.apache.kafka:kafka_2.13:4.3.1", "org.apache.kafka:kafka-tools:4.3.1"} <= set(coordinates)
    assert len({coordinate.rsplit(":", 1)[0] for coordinate in coordinates}) == len(coordinates)
    assert all(version == "4.3.1" for jar in coordinates for g, _, version in [jar.split(":")] if "kafka" in g)
    assert all(len(jar.sha256) == 64 for jar in pinned())


def test_an_empty_cache_is_filled_and_a_full_one_asks_for_nothing(tmp_path: Path) -> None:
    repository = Repository()
    paths = fetch(tmp_path, download=repository, jars=JARS)
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert sorted(repository.asked) == ["org.one:a:1.0", "org.one:b:2.0"]
    assert fetch(tmp_path, download=repository, jars=JARS) == paths
    assert len(repository.asked) == 2


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b"fir"), Path.unlink, lambda p: p.write_bytes(b"")])
def test_a_damaged_cache_mends_itself(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    first, second = fetch(tmp_path, download=Repository(), jars=JARS)
    damage(first)
    repository = Repository()
    fetch(tmp_path, download=repository, jars=JARS)
    assert repository.asked == ["org.one:a:1.0"]
    assert (first.read_bytes(), second.read_bytes()) == (b"first jar", b"second jar")


def test_a_jar_that_is_not_the_pinned_one_is_named_and_never_reaches_the_cache(tmp_path: Path) -> None:
    repository = Repository({**CONTENT, "org/one/b/2.0/b-2.0.jar": b"not the second jar"})
    with pytest.raises(JarError, match=r"org\.one:b:2\.0 has SHA-256 [0-9a-f]{64}, but jars\.sha256 pins"):
        fetch(tmp_path, download=repository, jars=JARS)
    assert not (tmp_path / JARS[1].path).exists()
    assert not any(file.read_bytes() == b"not the second jar" for file in tmp_path.rglob("*") if file.is_file())


def test_a_download_that_fails_once_is_tried_again(tmp_path: Path) -> None:
    repository, failures = Repository(), iter([OSError("connection reset")])

    def flaky(jar: Jar, staging: Path) -> Path:
        if (failure := next(failures, None)) is not None:
            raise failure
        return repository(jar, staging)

    assert len(fetch(tmp_path, download=flaky, jars=JARS)) == 2


def test_a_repository_out_of_reach_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    def unreachable(jar: Jar, staging: Path) -> Path:
        raise OSError("no route to host")

    with pytest.raises(JarError, match=r"no route to host.*TAILRACE_MAVEN_URL"):
        fetch(tmp_path, download=unreachable, jars=JARS)


def test_many_at_once_fetch_each_jar_once(tmp_path: Path) -> None:
    repository = Repository()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: fetch(tmp_path, download=repository, jars=JARS), range(8)))
    assert all(paths == found[0] for paths in found)
    assert sorted(repository.asked) == ["org.one:a:1.0", "org.one:b:2.0"]


def test_nothing_but_jars_is_left_in_the_cache(tmp_path: Path) -> None:
    fetch(tmp_path, download=Repository(), jars=JARS)
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {"a-1.0.jar", "b-2.0.jar", ".lock"}
