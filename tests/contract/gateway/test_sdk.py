import openai
import pytest
from gateway_house import KEY, House, answered, failed

from connectors.gateway import serve
from schemas.events import Request


def answer(house: House, request: Request) -> None:
    if request.model == "auto":
        house.respond(failed(request, "no_eligible_model"))
        return
    if request.stream:
        house.delta(request, 0, {"content": "hello"})
    house.respond(answered(request))


async def test_the_real_client_reads_answers_streams_and_errors() -> None:
    server = await serve(House(answer).app, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.port}/v1"
    try:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=base) as client:
            said = [{"role": "user", "content": "hi"}]
            whole = await client.chat.completions.create(model="small", messages=said)  # type: ignore[call-overload]
            stream = await client.chat.completions.create(  # type: ignore[call-overload]
                model="small", messages=said, stream=True
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert text == whole.choices[0].message.content == "hello world"
            with pytest.raises(openai.PermissionDeniedError):
                await client.chat.completions.create(model="auto", messages=said)  # type: ignore[call-overload]
        with pytest.raises(OSError, match="cannot listen on"):
            await serve(House().app, "127.0.0.1", server.port)
    finally:
        await server.stop()
