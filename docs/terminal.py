"""Record docs/terminal.svg: commands on a terminal of 80 columns, run against a local twin on the project's drawings.

Run it after the output of a command changed: `python -m docs.terminal`.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from infra.local.twin import Twin

ROOT = Path(__file__).resolve().parents[1]
DRAWING = ROOT / "docs" / "terminal.svg"
COLUMNS = 80
COMMANDS = (
    "predictions publish client/samples/bag.bmp client/samples/coat.tif --top-k 2",
    "predictions submit client/samples",
    "predictions wait last --output run.csv",
    "predictions status last",
    "predictions results find sneaker.jpg --in run.csv",
    "predictions replay run.csv",
    "predictions jobs",
)
"""The commands that are shown, one after the other, in an empty folder that has `client/samples`."""


def main() -> int:
    """Record the drawing."""
    with Twin(worker="push") as twin, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "client").mkdir()
        (Path(folder) / "client" / "samples").symlink_to(ROOT / "client" / "samples")
        environ = os.environ | twin.env | {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": folder, "TERM": "xterm-256color"}
        shown = "\n".join(f"$ {command}\n{output(command, Path(folder), environ)}" for command in COMMANDS)
    DRAWING.write_text(drawing(shown))
    return 0


def output(command: str, folder: Path, environ: dict[str, str]) -> str:
    """Run a command on a terminal of its own, and return what stays there when it has ended."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    words = [sys.executable, "-m", "client", *command.split()[1:]]
    with subprocess.Popen(words, cwd=folder, env=environ, stdin=far, stdout=far, stderr=far):
        os.close(far)
        shown = b""
        while piece := _read(near):
            shown += piece
    os.close(near)
    lines = shown.decode().replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r\033[K")[2] for line in lines)  # without the progress that was overwritten


def drawing(text: str) -> str:
    """Return the SVG of a terminal that shows a text with colours. It loads nothing from the network."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.rstrip()), soft_wrap=False, end="")
    fonts = CONSOLE_SVG_FORMAT.index("@font-face")
    template = CONSOLE_SVG_FORMAT[:fonts] + CONSOLE_SVG_FORMAT[CONSOLE_SVG_FORMAT.index(".{unique_id}-matrix") :]
    drawn = console.export_svg(title="predictions", code_format=template, unique_id="terminal")
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the command has ended
        return b""


if __name__ == "__main__":
    sys.exit(main())
