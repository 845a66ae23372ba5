"""Buys a video from a workflow in Python: a child workflow that is started by its name, with plain JSON.

    TEMPORAL_ADDRESS=127.0.0.1:7233 python parent_in_python.py '{
      "prompt": "waves", "duration": 4, "fps": 30, "size": "1280*720",
      "reference_image": "https://example.com/boat.jpg"}'

With TEMPORAL_NAMESPACE it runs there, and its workflow calls the Nexus operation of the same purpose.
Runs a worker of its own and prints what its workflow returns. Ctrl-C cancels the workflow.
"""

import asyncio
import json
import os
import signal
import sys
import uuid

from nexusrpc import HandlerError
from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, CancelledError, ChildWorkflowError, NexusOperationError
from temporalio.worker import Worker

TASK_QUEUE = "trailers-in-python"


@workflow.defn
class Trailer:
    """Needs one video."""

    def __init__(self) -> None:
        self.progress: dict = {}

    @workflow.signal(name="video-progress")
    def on_progress(self, progress: dict) -> None:
        self.progress = progress

    @workflow.run
    async def run(self, request: dict) -> dict:
        try:
            video = await workflow.execute_child_workflow(
                "videoGenerate",
                request,
                # After a reset the child of the first run may still hold its id. Equal requests are one purchase
                # under any id.
                id=f"{workflow.info().workflow_id}/video/{workflow.uuid4()}",
                task_queue="video-generate",
                # With this workflow's end nothing more is bought, and what is bought is kept.
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                memo={"report_to_parent": {"signal": "video-progress", "stages": False}},
            )
            return {"video_url": video["video_url"], "task_id": video["task_id"]}
        except ChildWorkflowError as error:
            if isinstance(error.cause, ApplicationError) and error.cause.details:
                return {"failure": error.cause.details[0]}  # type, message, billed, next_step, …
            # The last report says what became of the task, and whether it is billed.
            return {"cancelled": self.progress.get("cancel")}


@workflow.defn
class TrailerByNexus:
    """Needs one video, and runs in another namespace than the workers that make it."""

    @workflow.run
    async def run(self, request: dict) -> dict:
        videos = workflow.create_nexus_client(endpoint="wan-video", service="wan-video")
        try:
            video = await videos.execute_operation("generate", request, output_type=dict)
            return {"video_url": video["video_url"], "task_id": video["task_id"]}
        except NexusOperationError as error:
            cause = error.cause
            if isinstance(cause, HandlerError):  # BAD_REQUEST, for example: the operation did not begin
                cause = cause.__cause__
            if isinstance(cause, CancelledError) and cause.details:
                return {"cancelled": cause.details[0]}  # outcome, task_id, billed
            if isinstance(cause, ApplicationError) and cause.details:
                return {"failure": cause.details[0]}  # type, message, billed, next_step, …
            raise


async def main(request: dict) -> dict:
    namespace = os.environ.get("TEMPORAL_NAMESPACE")
    address = os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233")
    client = await Client.connect(address, namespace=namespace or "default")
    trailer = TrailerByNexus if namespace else Trailer
    async with Worker(client, task_queue=TASK_QUEUE, workflows=[Trailer, TrailerByNexus]):
        run = await client.start_workflow(trailer.run, request, id=f"python/{uuid.uuid4()}", task_queue=TASK_QUEUE)
        print(run.id, file=sys.stderr, flush=True)
        cancelling: set[asyncio.Task] = set()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, lambda: cancelling.add(loop.create_task(run.cancel())))
        return await run.result()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))), flush=True)
    # As in start_from_python.py: not sys.exit, which may abort in a thread of the SDK.
    os._exit(0)
