"""Kafka, as every other room sees it: producers, the hardened Faust transport, group-less readers, topic administration."""
