"""Webhooks: JSON posted to addresses of the operator's choice, signed."""

from connectors.webhooks.poster import Poster, Webhook
from connectors.webhooks.signature import HEADER, signature

__all__ = ["HEADER", "Poster", "Webhook", "signature"]
