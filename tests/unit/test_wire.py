"""The channel's framing and multiplexing, over two pipes in one process."""

import asyncio
import contextlib
import os

import pytest

from labkit.agent.wire import WINDOW, Call, CallFailed, Wire, WireError, streams


@contextlib.asynccontextmanager
async def pair(**handlers):
    """A wire that calls, and at the other end of two pipes one that serves."""
    down, up = os.pipe(), os.pipe()
    ends = [
        (os.fdopen(up[0], "rb", 0), os.fdopen(down[1], "wb", 0), {}),
        (os.fdopen(down[0], "rb", 0), os.fdopen(up[1], "wb", 0), handlers),
    ]
    wires, running = [], []
    for read, write, served in ends:
        wires.append(Wire(*await streams(read, write), served))
        running.append(asyncio.ensure_future(wires[-1].run()))
    try:
        yield wires
    finally:
        for wire in wires:
            wire._writer.close()
        await asyncio.gather(*running)


async def echo(call: Call, times: int = 1) -> int:
    """Send back what arrives on stream 0 on stream 1; the number of bytes."""
    total = 0
    while (item := await call.read()) is not None and item[1]:
        total += len(item[1])
        await call.write(item[1] * times, 1)
    await call.end(1)
    return total


async def collect(call: Call) -> bytes:
    data = b""
    while (item := await call.read()) is not None:
        data += item[1]
    return data


def test_bytes_arrive_in_order_and_whole():
    async def scenario():
        data = os.urandom(3 * WINDOW + 17)
        async with pair(echo=echo) as (ours, _):
            call = await ours.call("echo")

            async def send():
                await call.write(data, 0)
                await call.end(0)

            sending = asyncio.ensure_future(send())
            assert await collect(call) == data
            assert await call.result == len(data)
            await sending

    asyncio.run(scenario())


def test_a_reader_that_does_not_read_holds_up_no_other_call():
    async def flood(call: Call) -> None:
        await call.write(bytes(10 * WINDOW), 1)

    async def quick(call: Call) -> str:
        return "here"

    async def scenario():
        async with pair(flood=flood, quick=quick) as (ours, _):
            slow = await ours.call("flood")
            await asyncio.sleep(0.05)
            assert slow._arrived.qsize() * 32768 <= WINDOW
            call = await ours.call("quick")
            assert await asyncio.wait_for(call.result, 2) == "here"
            assert len(await collect(slow)) == 10 * WINDOW

    asyncio.run(scenario())


def test_an_error_of_the_other_end_arrives_with_its_name():
    async def fail(call: Call) -> None:
        raise OSError("no such host")

    async def scenario():
        async with pair(fail=fail) as (ours, _):
            for name, kind in (("fail", "OSError"), ("unknown", "KeyError")):
                call = await ours.call(name)
                with pytest.raises(CallFailed) as caught:
                    await call.result
                assert caught.value.kind == kind

    asyncio.run(scenario())


def test_a_call_can_be_given_up():
    stopped = []

    async def forever(call: Call) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            stopped.append(True)

    async def scenario():
        async with pair(forever=forever) as (ours, _):
            for moment in (0, 0.05):  # before the other end has begun with it, and after
                call = await ours.call("forever")
                await asyncio.sleep(moment)
                await call.cancel()
                with pytest.raises(CallFailed):
                    await asyncio.wait_for(call.result, 2)
        assert stopped == [True]

    asyncio.run(scenario())


def test_open_calls_end_when_the_other_end_goes():
    async def forever(call: Call) -> None:
        await asyncio.sleep(100)

    async def scenario():
        async with pair(forever=forever) as (ours, theirs):
            call = await ours.call("forever")
            await asyncio.sleep(0.05)
            theirs._writer.close()
            with pytest.raises(WireError):
                await asyncio.wait_for(call.result, 2)
            with pytest.raises(WireError):
                await ours.call("forever")

    asyncio.run(scenario())


def test_what_is_no_frame_is_the_reason_for_later_calls_too():
    async def scenario():
        async with pair() as (ours, theirs):
            theirs._writer.write(b"\xff" * 100)
            while not ours.lost:
                await asyncio.sleep(0.01)
            with pytest.raises(WireError, match="what arrived is no frame"):
                await ours.call("echo")

    asyncio.run(scenario())
