"""The HTTP edge: requests become records, records become answers.

    app            the routes, and what they share;   server    uvicorn as we run it
    surface        one API that callers may speak;    serving   the journey of one request over any of them
    chat  messages  embeddings  models                the surfaces
    jobs           requests whose outcome is asked for later
    usage          what the key's tenant used
    auth  options  intake                             who asks, how, with which body: each a value or a `Problem`
    asking         from a checked body to a record on `requests.v1`
    outbox         the broker may be away: shielded sends, a local breaker, late acknowledgements
    waiting        `deltas.v1` + `responses.v1` -> whoever waits
    wire  streaming  problems                         what callers read (pure)

Journey: HTTP -> `requests.v1` ... `deltas.v1`, `responses.v1` -> HTTP. Everything that decides is handed in.
"""

from connectors.gateway.app import create_app
from connectors.gateway.context import GatewayConfig
from connectors.gateway.server import Server, serve
from connectors.gateway.waiting import Waiting

__all__ = ["GatewayConfig", "Server", "Waiting", "create_app", "serve"]
