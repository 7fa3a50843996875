"""Where an adjustment goes: beside the charge that it adjusts."""

import pytest

from connectors.kafka.partition import partition_of
from pipeline.operations.replaying.repricing import _key
from schemas.ledger import Booked


def booked(partition: int) -> Booked:
    return Booked("acme", "a", "r", 1, None, None, {}, "p", "m", "primary", 1, 1, 0, 0, 0, False, 0, None, "v", 1, 1,
                  partition, 1, [])  # fmt: skip


@pytest.mark.parametrize("shard", range(5))
def test_a_line_of_a_sharded_tenant_goes_to_the_partition_of_its_charge(shard: int) -> None:
    partition = partition_of(f"acme#{shard}".encode(), 16)
    assert partition_of(_key(booked(partition), 5, 16).encode(), 16) == partition


def test_the_key_of_a_tenant_is_its_name() -> None:
    assert _key(booked(partition_of(b"acme", 16)), 1, 16) == "acme"
