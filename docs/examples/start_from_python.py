"""Buys a video from Python: plain JSON in, plain JSON out. Needs the package temporalio and a running worker.

    TEMPORAL_ADDRESS=127.0.0.1:7233 python start_from_python.py '{
      "prompt": "waves", "duration": 4, "fps": 30, "size": "1280*720",
      "reference_image": "https://example.com/boat.jpg"}'

Prints progress on stderr and the result, or what went wrong, on stdout. Ctrl-C cancels the run.
"""

import asyncio
import json
import os
import sys
import uuid
from contextlib import suppress

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError


async def generate(request: dict) -> dict:
    client = await Client.connect(os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"))
    run = await client.start_workflow(
        "videoGenerate",
        request,
        # Equal requests under other ids share one purchase, so a fresh id never buys twice.
        id=f"python/{uuid.uuid4()}",
        task_queue="video-generate",
        static_summary=request.get("prompt", "")[:100],
        # In a namespace without our search attributes: memo={"search_attributes": False}
    )
    ended = asyncio.Event()
    watching = asyncio.create_task(watch(run, ended))
    try:
        return {"id": run.id, "result": await result(run)}
    except WorkflowFailureError as error:
        return {"id": run.id, **(await failure(run, error))}
    finally:
        ended.set()
        await watching


async def result(run: WorkflowHandle) -> dict:
    waiting = asyncio.create_task(run.result())
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:  # Ctrl-C
        # The answer of the Update says what became of the task; it is in `progress` as well.
        await run.execute_update("cancel", {"reason": "Ctrl-C"})
        return await waiting


async def failure(run: WorkflowHandle, error: WorkflowFailureError) -> dict:
    cause = error.cause
    if isinstance(cause, CancelledError):
        # What became of the task, and whether it is billed.
        return {"cancelled": (await run.query("progress"))["cancel"]}
    # type, message, code, billed, next_step, …: as documented for the command's --json.
    published = isinstance(cause, ApplicationError) and cause.details
    return {"failure": cause.details[0] if published else {"message": str(error)}}


async def watch(run: WorkflowHandle, ended: asyncio.Event) -> None:
    seen = None
    while not ended.is_set():
        with suppress(RPCError):  # no worker answers just now
            progress = await run.query("progress")
            if progress != seen:
                print(json.dumps(progress), file=sys.stderr, flush=True)
            seen = progress
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ended.wait(), 1)  # each query is an Action on Temporal Cloud


if __name__ == "__main__":
    answer = asyncio.run(generate(json.loads(sys.argv[1])))
    print(json.dumps(answer), flush=True)
    # Not sys.exit: a thread of the SDK may still be handing over its last answer, and an interpreter that is torn down
    # meanwhile aborts (https://github.com/temporalio/sdk-python/issues/300). A process that lives on does not need
    # this.
    os._exit(0 if "result" in answer else 1)
