"""The official SDK against the address in DASHSCOPE_HTTP_BASE_URL, which it reads when it is imported.

Runs every scenario, some at the same time because the SDK sleeps a second between polls, and prints one JSON object:
what each of them got, by the scenario's name.
"""

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from dashscope import VideoSynthesis
from dashscope.aigc.video_synthesis import AioVideoSynthesis  # not exported by the package

MODEL = "wan2.6-i2v-flash"
IMAGE_URL = "http://image.invalid/first.png"
IMAGE_FILE, FULL_KEY = sys.argv[1:3]


def request(prompt, **more):
    return {
        "model": MODEL,
        "prompt": prompt,
        "img_url": IMAGE_URL,
        "resolution": "720P",
        "duration": 5,
        "audio": False,
        "seed": 7,
        **more,
    }


def seen(answer):
    """The parts of an answer that a caller looks at."""
    parts = ("status_code", "request_id", "code", "message", "output", "usage")
    return {name: answer.get(name) for name in parts}


def raised(call):
    try:
        call()
    except Exception as error:  # what it is, is what the test asks
        return {"type": type(error).__name__, "message": str(error)}
    return None


def submit_fetch_wait():
    submitted = VideoSynthesis.async_call(**request("sync", fps=24, size="1280*720", motion_strength=None))
    fetched = VideoSynthesis.fetch(submitted)
    waited = VideoSynthesis.wait(submitted, wait_timeout=30)
    return {"submitted": seen(submitted), "fetched": seen(fetched), "waited": seen(waited)}


def local_file():
    return seen(VideoSynthesis.call(**request("file", img_url=IMAGE_FILE)))


def a_busy_moment():
    """The second query is answered 503; the SDK goes on waiting."""
    return seen(VideoSynthesis.call(**request("busy")))


def failed_task():
    return seen(VideoSynthesis.call(**request("doomed")))


def cancel():
    task = VideoSynthesis.async_call(**request("cancel", api_key=FULL_KEY))
    first = VideoSynthesis.cancel(task, api_key=FULL_KEY)
    second = VideoSynthesis.cancel(task, api_key=FULL_KEY)
    late = VideoSynthesis.fetch(task, api_key=FULL_KEY)
    timeout = VideoSynthesis.async_call(**request("too long", api_key=FULL_KEY))
    overdue = VideoSynthesis.wait(timeout, api_key=FULL_KEY, wait_timeout=1)
    return {"first": seen(first), "second": seen(second), "late": seen(late), "overdue": seen(overdue)}


def errors():
    return {
        "wrong_key": seen(VideoSynthesis.async_call(**request("wrong key", api_key="sk-wrong"))),
        "wrong_field": seen(VideoSynthesis.async_call(**request("wrong field", resolution="480P"))),
        "wrong_model": seen(VideoSynthesis.async_call(**request("wrong model", model="wan0-i2v"))),
        "unknown_task": seen(VideoSynthesis.fetch("00000000-0000-4000-8000-000000000000")),
        "call": raised(lambda: VideoSynthesis.call(**request("wrong field", resolution="480P"))),
        "missing_file": raised(lambda: VideoSynthesis.call(**request("missing", img_url="file:///nowhere/a.png"))),
    }


async def async_class():
    submitted, called = await asyncio.gather(
        AioVideoSynthesis.async_call(**request("aio")),
        AioVideoSynthesis.call(**request("aio call")),
    )
    fetched = await AioVideoSynthesis.fetch(submitted)
    waited = await AioVideoSynthesis.wait(submitted)
    listed = await AioVideoSynthesis.list(model_name=MODEL, page_size=50)
    cancelled = await AioVideoSynthesis.cancel(submitted)
    return {
        "submitted": seen(submitted),
        "called": seen(called),
        "fetched": seen(fetched),
        "waited": seen(waited),
        "listed": seen(listed),
        "cancelled": seen(cancelled),
    }


def aio():
    return asyncio.run(async_class())


SCENARIOS = [submit_fetch_wait, local_file, a_busy_moment, failed_task, cancel, errors, aio]

with ThreadPoolExecutor(len(SCENARIOS)) as pool:
    running = {scenario.__name__: pool.submit(scenario) for scenario in SCENARIOS}
results = {name: future.result() for name, future in running.items()}
results["list"] = seen(VideoSynthesis.list(model_name=MODEL, status="SUCCEEDED", page_size=2, page_no=1))
json.dump(results, sys.stdout)
