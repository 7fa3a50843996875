"""The simulator as a server: an aiohttp application with every vendor's paths and `/_control`.

aiohttp's server costs less CPU than others in Python, decides about every byte and write, and cancels a handler when
its caller hangs up, which is how hang-ups are noticed wherever a request waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from connectors.simulator import anthropic, compatible, control, gemini, openai
from connectors.simulator.config import Allowance, Clock, SimConfig, WallClock
from connectors.simulator.world import World

HOST = "127.0.0.1"
_MAX_BODY_BYTES = 50 * 1024 * 1024  # provider_contracts.md section 2
_VENDORS = (anthropic, gemini, openai, compatible)  # in this order: OpenAI answers whatever is left of `/v1`
_GRACE_S = 0.1  # hanging requests are part of the game: closing does not wait for them
WORLD = web.AppKey("world", World)


def create_app(config: SimConfig) -> web.Application:
    """The application; run it with `handler_cancellation=True`, or hang-ups go unnoticed."""
    world = World(config)
    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app[WORLD] = world
    control.add_routes(app, world)
    for vendor in _VENDORS:
        vendor.add_routes(app, world)
    return app


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator."""

    port: int
    world: World
    _runner: web.AppRunner

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def root_url(self) -> str:
        """What a client of Anthropic or Gemini takes as its base URL."""
        return f"http://{HOST}:{self.port}"

    @property
    def control_url(self) -> str:
        return f"http://{HOST}:{self.port}/_control"

    async def close(self) -> None:
        """Ends all requests and frees the port."""
        self.world.closing = True
        await self._runner.cleanup()


async def serve(
    port: int = 0,
    seed: int = 1,
    speed: float = 1.0,
    *,
    models: tuple[str, ...] = (),
    background: Mapping[str, float] | None = None,
    allowance: Allowance | None = None,
    clock: Clock | None = None,
) -> Simulator:
    """Starts a simulator on the loopback interface.

    Args:
        port: 0 for any free one; the handle tells which.
        seed: See `SimConfig`, as all that follows.
        speed: 10 is ten times faster than life, 0 knows no delays.
        models: Names to serve besides the built-in ones.
        background: Shares of requests that fail, by kind; `DEMO_BACKGROUND` is a realistic choice.
        allowance: Rate limits per key and model.
        clock: The time, for tests.

    Raises:
        OSError: The port is taken.
    """
    config = SimConfig(
        seed=seed,
        speed=speed,
        models=models,
        background=background or {},
        allowance=allowance or Allowance(),
        clock=clock or WallClock(),
    )
    return await run(create_app(config), port)


async def run(app: web.Application, port: int = 0) -> Simulator:
    """Starts an application made by `create_app`."""
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_GRACE_S)
    await runner.setup()
    site = web.TCPSite(runner, HOST, port, backlog=1_024)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return Simulator(runner.addresses[0][1], app[WORLD], runner)
