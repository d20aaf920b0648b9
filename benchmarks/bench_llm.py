"""How close the client comes to the ideal: a local server that answers after a fixed time, many requests in flight.

    python benchmarks/bench_llm.py [--latency 0.2] [--in-flight 64] [--requests 3200] [--json]

The ideal is in_flight / latency requests per second. The server is a process of its own; `main_gap` is the longest that
the main thread was kept from a 5 ms tick, so it shows whether the client blocks it.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time

from autointerp.llm.client import Client
from autointerp.llm.messages import Answer, ChatReply, ChatRequest, Question
from autointerp.llm.parsing import list_answer, list_schema

BODY = json.dumps(
    {
        "id": "bench",
        "object": "chat.completion",
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": '{"answers": [1, 0, 1, 0, 1]}'},
            }
        ],
        "usage": {"prompt_tokens": 700, "completion_tokens": 12, "total_tokens": 712},
    }
).encode()
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


class Kept(dict[str, ChatReply]):
    """A cache in memory."""

    def put(self, key: str, request: ChatRequest, reply: ChatReply) -> None:
        self[key] = reply


async def serve(latency: float) -> None:
    """A bare HTTP server: reads a request, waits, answers; prints its port first."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                await reader.readexactly(length)
                await asyncio.sleep(latency)
                writer.write(REPLY)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def measure(port: int, latency: float, in_flight: int, requests: int) -> dict[str, float]:
    shots = "An instruction and its worked examples, as long as those of a detection prompt. " * 30
    check = list_answer(5)
    questions = (
        Question(ChatRequest.of(f"Question {i}", system=shots, schema=list_schema(5)), check)
        for i in range(requests)
    )
    gap, running = 0.0, True

    def work() -> None:
        nonlocal running
        for _, answer in client.ask_many(questions):
            assert isinstance(answer, Answer), answer
        running = False

    with Client(
        "bench", base_url=f"http://127.0.0.1:{port}/v1", max_in_flight=in_flight, cache=Kept()
    ) as client:
        client.complete(ChatRequest.of("warm up: imports and the connection"))
        start, cpu = time.perf_counter(), time.process_time()
        thread = threading.Thread(target=work)
        thread.start()
        while running:
            before = time.perf_counter()
            time.sleep(0.005)
            gap = max(gap, time.perf_counter() - before - 0.005)
        thread.join()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    rate, ideal = requests / seconds, in_flight / latency
    return {
        "requests": requests,
        "in_flight": in_flight,
        "latency_s": latency,
        "rps": round(rate, 1),
        "ideal_rps": round(ideal, 1),
        "share_of_ideal": round(rate / ideal, 3),
        "cpu_ms_per_request": round(1e3 * cpu / requests, 2),
        "main_gap_ms": round(1e3 * gap, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latency", type=float, default=0.2, help="seconds the server takes")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--requests", type=int, default=3200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.latency))
        return
    command = [sys.executable, __file__, "--serve", "--latency", str(args.latency)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        result = measure(int(server.stdout.readline()), args.latency, args.in_flight, args.requests)
    finally:
        server.kill()
        server.wait()
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:20} {value}")


if __name__ == "__main__":
    main()
