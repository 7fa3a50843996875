"""llama.cpp's own HTTP server inside this process, in threads of its own.

https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md. It answers `/v1/chat/completions`, streamed or
not; temperature and seed come from the request. Callers beyond `PARALLEL` wait.
"""

import os
from typing import Any, Final

from connectors.edge.errors import EdgeFailed, ExtraMissing, PortBusy, RuntimeUnusable
from connectors.edge.model import MODEL, installed, model_file
from connectors.local_broker.ports import is_free

__all__ = ["PARALLEL", "SLOT_TOKENS", "serve"]

PARALLEL: Final = 2
SLOT_TOKENS: Final = 4096
"""Prompt and answer of one request together; the catalogue says the same."""

_MAX_ANSWER_TOKENS = 512  # of a request that names no limit: a small model may babble on for ever
_MAX_THREADS = 4
# The server looks for hang-ups of unstreamed requests when nothing came for as long as its pings are apart.
_PING_S = 1
_ERRORS_ONLY = 1


def serve(port: int) -> object:
    """Starts serving on the loopback interface; runs until the process ends.

    Takes about a second and 340 MB. The object must be kept, and must not be left to the garbage collector while
    requests run: its destructor waits for them, possibly for ever (xllamacpp 2026.10). Nothing needs saving: end the
    process with `os._exit`.

    Raises:
        EdgeError: And then nothing runs.
    """
    if not installed():
        raise ExtraMissing
    try:
        import xllamacpp
    except (ImportError, OSError) as error:
        raise RuntimeUnusable(str(error)) from None
    if not is_free(port):
        raise PortBusy(port)
    try:
        return xllamacpp.Server(_parameters(xllamacpp.CommonParams(), port))
    except RuntimeError as error:
        raise EdgeFailed(str(error)) from None


def threads(cores: int) -> int:
    """Half of the cores: broker and stages work beside it, and llama.cpp's threads wait for each other by spinning.

    On two busy cores one thread makes 22 tokens a second, two make 4.
    """
    return min(_MAX_THREADS, max(1, cores // 2))


def _parameters(params: Any, port: int) -> Any:
    params.model.path = str(model_file())
    params.model_alias = {MODEL}
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_parallel, params.n_ctx = PARALLEL, PARALLEL * SLOT_TOKENS
    params.n_predict = _MAX_ANSWER_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads(os.cpu_count() or 1)
    params.sse_ping_interval = _PING_S
    params.verbosity = _ERRORS_ONLY
    # No prompt is kept for the next caller: `cached_tokens` would tell one tenant what another one asked.
    params.cache_prompt, params.cache_ram_mib = False, 0
    # Nothing but the API, and nothing for pages that a browser on this machine shows.
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    params.cors_origins = ""
    return params
