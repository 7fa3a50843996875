"""Wire-true simulated providers: what tests and demos call instead of the vendors (provider_contracts.md 8).

    from connectors.simulator import serve

    simulator = await serve(port=0, seed=7, speed=10)      # simulator.base_url or .root_url, key "sk-sim-anything"
    ...
    await simulator.close()

Where things are: `server` the application; `openai/`, `anthropic/`, `gemini/` a vendor's wire each, `compatible/` the
servers that speak like OpenAI; `entrance` and `delivery` the way in and out, `content` the answers, `media` what came
beside text, `timing`, `faults`, `limits`, `directives`, `journal` the log, `world` what outlives a request, `control`
the `/_control` paths.

Deterministic: (seed, model, canonical request, attempt) decides text, tokens, ids, delays and background faults, in
any concurrency. The canonical request leaves out `stream`, `stream_options` and labels (`user`, `metadata`, ...); the
attempt is the ordinal of that request for that model, streamed and unstreamed counted apart. Exceptions: `created`
comes from the clock, cached tokens and the rate-limit headers from what arrived earlier.

Keys: any that begins with `sk-sim`; `sk-bad*` and all others are refused.

Directives: in the text of the last user message, `[[sim: name=value ...]]`, one or several. They are not echoed.

| directive | does |
|---|---|
| `fault=KIND` | one kind of the table below; framings may be added: `fault=early_end+crlf` |
| `after=N` | content pieces before a fault in the middle (default 3) |
| `fail_attempts=N` | the fault hits only the first N arrivals of this conversation, over all models |
| `model=NAME` | the fault hits only this model, so that a fail-over succeeds |
| `retry_after_s=X` | `retry-after` and `retry-after-ms` on the error |
| `latency_ms=X` | real milliseconds to the first token, whatever the speed; delays errors too |
| `cadence_ms=X` | real milliseconds per token, one token a piece |
| `tokens=N` | exact length of a text answer (one or two less where the cut would split a character) |
| `reasoning_tokens=N` | thinking tokens of a model that reasons |
| `tool=NAME` | calls this tool |
| `quirk=NAME` | compatible server: one quirk of the last table, or several: `quirk=no_role+crlf` |
| `thinking=redacted` | Anthropic: the thinking comes as a `redacted_thinking` block |
| `finish=REASON` | Anthropic: this `stop_reason` in place of the true one. Gemini: this `finishReason`, and what it leaves |

| fault | what the caller sees |
|---|---|
| `invalid_request` `context_too_long` `content_filtered` | 400 |
| `auth` `permission` `not_found` `timeout` `conflict` | 401, 403, 404, 408, 409 |
| `quota_exhausted` `rate_limited` | 429 `insufficient_quota`; 429 `rate_limit_exceeded` with `retry-after: 1` |
| `billing` | the account cannot pay: as `quota_exhausted`; Gemini: 400 `FAILED_PRECONDITION` |
| `provider_fault` `html_502` `overloaded` | 500; 502 with an HTML page; 503 `server_is_overloaded` |
| `hang_before_headers` `reset` `close` | silence; TCP reset; connection closed; each instead of headers |
| `hang_after_headers` | headers, then silence |
| `hang_mid_stream` `reset_mid_stream` | silence, TCP reset after some pieces; unstreamed: after half the body |
| `close_mid_stream` | the connection is closed there, the chunked encoding left open |
| `early_end` | a proper end of the body after some pieces: no finish chunk, no `[DONE]` |
| `error_mid_stream` | an error event after some pieces, then the end; unstreamed: 500 |
| `malformed` | a broken JSON event among the good ones; unstreamed: half the body |
| `error_200` `wrong_shape` `empty_body` | status 200 with an error body, with JSON that is no answer, with nothing |
| `no_done` `no_usage` | a stream without its last event; an answer without usage |
| `content_filter` `refusal` | finish reason `content_filter` after half the text; a `refusal` in place of content |
| `split_bytes` `join_events` `drip` | writes cut anywhere; four events a write; 16 bytes every 2 ms |
| `comments` `crlf` | a comment before each event; CRLF framing |
| `slow` | a brown-out: everything takes five times as long |

Anthropic says the faults in its words and with its statuses: `timeout` 504, `overloaded` 529, `quota_exhausted` 429
with a spend limit and no `retry-after`, `billing` 402; `error_mid_stream` is an `overloaded_error` event, `no_done` a
stream without `message_stop`, `content_filter` and `refusal` stop with reason `refusal`, after half the text or none.

OpenAI's Responses say the faults in their own words: `error_200` is status `failed` (a stream that ends with
`response.failed`), `error_mid_stream` an `error` event, `content_filter` status `incomplete`, `no_done` a stream
without its `response.completed`.

Gemini says them with Google's statuses: `auth` 400 `API_KEY_INVALID`, `timeout` 504, `content_filtered` 200 with a
`blockReason` and no candidates; hints to come back are in the body's details, never in headers. `content_filter` is
`SAFETY`, `refusal` is `PROHIBITED_CONTENT` without content, `no_done` a stream without its last piece.

Compatible servers (`/compatible/v1`, also without a key) are odd as told, by directive or by the end of the model's
name, `qwen3-edge-8b@no_role+crlf`:

| quirk | what is odd |
|---|---|
| `no_role` | nobody says `role: assistant` |
| `stop_with_tools` | finish reason `stop` although tools are called |
| `index_zero` | all calls have index 0; a new id begins a new call |
| `whole_arguments` | each call arrives in one piece |
| `no_ids` | calls without ids |
| `name_every_piece` | id, type and name again on each piece of arguments |
| `object_arguments` | arguments as an object instead of a string, in one piece |
| `usage_last_content` | the last piece of content carries finish reason and usage; no chunk of its own for either |
| `usage_every_chunk` | usage so far on every chunk |
| `comments` `crlf` | a comment before each event; CRLF framing |
| `created_zero` | `created: 0` |
| `no_done` | a stream ends without `[DONE]` |
| `azure_first` | the first chunk has no choices, a blank id and a blank model |
| `reasoning` | thinks, and says so in `reasoning` instead of `reasoning_content` |
| `list_content` | content as a list of parts, thoughts among them (Mistral) |
"""

from connectors.simulator.config import DEMO_BACKGROUND, Allowance, Clock, SimConfig, WallClock
from connectors.simulator.server import Simulator, create_app, run, serve

__all__ = ["DEMO_BACKGROUND", "Allowance", "Clock", "SimConfig", "Simulator", "WallClock", "create_app", "run", "serve"]
