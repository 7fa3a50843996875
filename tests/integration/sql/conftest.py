"""One endpoint for the tests of a module."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.integration.sql.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    if find_spec("chdb") is None:  # importing it would forbid every later fork of this process
        pytest.skip("needs the extra 'local'")
    running = House(tmp_path_factory.mktemp("sql") / "data")
    yield running
    assert running.end() == 0
