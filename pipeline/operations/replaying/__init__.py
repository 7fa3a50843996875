"""Replays: history read again, sent again, priced again. For the command line; decisions are in `core/replaying`.

runs       what a run left behind: its document, for the admin surface
history    the requests of a range, from Kafka and ClickHouse
sending    mode send: puts them through again          repricing    mode reprice: corrects the ledger
caught_up  waits until ClickHouse has what Kafka has
"""
