"""Programs that use the Python API: those of the documents, interrupted ones, what they leave behind, and proxies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local.ports import free_port
from infra.local.twin import Delivery, Twin
from tests.service.cli_harness import CommandLine
from tests.silent_server import SilentServer, proxied_environment


@pytest.fixture
def twin(shared_twin: Callable[[Delivery], Twin]) -> Twin:
    return shared_twin("push")


def script(root: Path, code: str, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A program that uses the client, with every warning as an error."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, *words]
    environ = {**(os.environ if env is None else env), "PYTHONPATH": str(root)}
    return subprocess.Popen(command, cwd=root, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


NOTHING_IS_LEFT = """
import asyncio, contextlib, os, sys, threading, time
from client import AsyncPredictions, Predictions

def sockets():
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # a thread has closed it meanwhile
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [link for link in found if "socket" in link]

def endless():
    while True:
        yield sys.argv[1]

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is no fault
    async with AsyncPredictions() as p:
        async for result in p.predict(endless()):
            break

for url in (None, os.environ["WORKER_URL"]):
    with Predictions(url=url) as p:
        for result in p.predict(endless()):
            break
Predictions().submit(sys.argv[1]).wait()
asyncio.run(main())
deadline = time.monotonic() + 10  # the last thread may still be ending
while (threading.active_count() > 1 or sockets()) and time.monotonic() < deadline:
    time.sleep(0.01)
print([thread.name for thread in threading.enumerate()], sockets())
"""


@pytest.mark.slow
def test_no_thread_and_no_connection_is_left(cli: CommandLine, root: Path, samples: Path) -> None:
    with script(root, NOTHING_IS_LEFT, str(samples / "bag.bmp")) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "['MainThread'] []\n", "")


WAITING = """
import sys
from client import Predictions
with Predictions(topic=sys.argv[1]) as p:
    for result in p.predict(sys.argv[2]):
        print(result)
"""

WAITING_TASK = """
import asyncio, sys
from client import AsyncPredictions
async def main():
    async with AsyncPredictions(topic=sys.argv[1]) as p:
        async for result in p.predict(sys.argv[2]):
            print(result)
asyncio.run(main())
"""


@pytest.mark.parametrize("code", [WAITING, WAITING_TASK], ids=["with", "async with"])
def test_ctrl_c_deletes_the_subscription(cli: CommandLine, root: Path, samples: Path, code: str) -> None:
    before = cli.subscriptions()
    topic = cli.topic(f"void-{code is WAITING}")
    requests = cli.subscription("asked-python", topic)
    with script(root, code, topic, str(samples / "bag.bmp")) as process:
        cli.message(requests)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    cli.subscriber.delete_subscription(subscription=requests)
    assert (process.returncode, out) == (-signal.SIGINT, "") and err.endswith("\nKeyboardInterrupt\n")
    assert "Warning" not in err and cli.subscriptions() == before


def test_the_programs_of_the_page_run(cli: CommandLine, root: Path, samples: Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", (root / "docs" / "python.md").read_text(), re.M | re.S)
    assert len(programs) == 3 and all(program.count("\n") <= 20 for program in programs)
    calm = 'import logging\nlogging.getLogger("asyncio").setLevel("ERROR")\n'  # with -X dev it warns of each 0.1 s
    for program in programs:
        with script(root, calm + program, "client/samples", "client/samples/*.jpg") as process:
            out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "left out of client/samples: 3 .py, 1 .csv\n")
        lines = dict(line.split("\t") for line in out.splitlines())
        assert lines["client/samples/trouser.jpg"] == "Trouser" and len(lines) == 10


def test_a_program_reports_an_error_in_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    program = re.findall(r"^```python\n(.*?)^```$", (root / "docs" / "python.md").read_text(), re.M | re.S)[0]
    with script(root, program, "client/samples") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "") and err.startswith("classify: PUBSUB_EMULATOR_HOST is ")
    assert err.count("\n") == 1 and len(err) <= 310


def test_a_proxy_is_not_used_for_this_machine(cli: CommandLine, root: Path) -> None:
    program = (
        "import os\nfrom client import Predictions\n"
        "for url in (None, os.environ['WORKER_URL']):\n"
        "    with Predictions(url=url) as p:\n"
        "        print(*(each.label for each in p.predict('client/samples/bag.bmp')))\n"
    )
    with SilentServer() as server:
        with script(root, program, env=proxied_environment(server)) as process:
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "Bag\nBag\n", "") and not server.proxied()
