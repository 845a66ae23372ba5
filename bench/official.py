"""The official SDK as it is: VideoSynthesis.call, which submits and waits. The plan comes on stdin, failures go to stdout."""
import json
import sys
import threading
import time

import dashscope
from dashscope import VideoSynthesis

plan = json.load(sys.stdin)
dashscope.base_http_api_url = plan[0]["origin"] + "/api/v1"
failures = []


def run(entry):
    time.sleep(entry["delayMs"] / 1000)
    try:
        answer = VideoSynthesis.call(
            model="wan2.6-i2v-flash",
            api_key=entry["key"],
            prompt="A kitten runs over grass",
            img_url="https://images.example/first.png",
            resolution="720P",
            duration=5,
            audio=False,
        )
        if answer.output is None or answer.output.task_status != "SUCCEEDED":
            failures.append(f"{answer.status_code} {answer.code}")
    except Exception as error:  # any fault: this run has no video
        failures.append(repr(error))


threads = [threading.Thread(target=run, args=(entry,)) for entry in plan]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
json.dump({"failures": failures}, sys.stdout)
