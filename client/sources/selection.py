"""What the command line names, and the choice by name among files that it does not name itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from client.gcp import UsageError
from model.image_folder import why_left_out

STDIN = "-"
"""The name of a list that means stdin."""

EXCLUDED, REPEATED = "excluded", "repeated"
"""How files are counted that --include and --exclude leave out, and those that are named again."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line names.

    `paths`: files, folders, globs, zip archives, `gs://bucket/prefix`. `lists`: files with one path or address a line.
    `column` and `id_column`: the columns of CSV lists with the paths and with the request ids. `include` and `exclude`:
    globs for the names of what is not named itself.
    """

    paths: Sequence[str]
    lists: Sequence[str] = ()
    column: str = ""
    id_column: str = ""
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def check(self) -> None:
        """Refuse combinations of which a part would have no effect. Raises UsageError."""
        if not self.paths and not self.lists:
            raise UsageError("nothing to send is named: give PATH, or --from FILE")
        for option, value in (("--column", self.column), ("--id-column", self.id_column)):
            if value and not self.lists:
                raise UsageError(f"{option} names a column of a CSV list; give the list with --from FILE")
        if self.lists.count(STDIN) > 1:
            raise UsageError("--from - is given twice; stdin can be read once")
        for option, globs in (("--include", self.include), ("--exclude", self.exclude)):
            if globs and not self.paths:
                raise UsageError(f"{option} chooses among files of folders, globs, archives and buckets; give PATH")
            if "" in globs:
                raise UsageError(f"{option} is empty; it must be a glob such as '*.jpg'")


class Choice:
    """Chooses by name among the files of folders, globs, archives and buckets, and counts what it leaves out."""

    def __init__(self, selection: Selection) -> None:
        self._include, self._exclude = selection.include, selection.exclude
        self.left_out: Counter[str] = Counter()

    def is_image(self, name: str) -> bool:
        """Whether an image has this name, a path with `/`, and is chosen."""
        return self.takes(name, why_left_out(name.split("/")))

    def takes(self, name: str, left_out: str = "") -> bool:
        """Whether an image of this name is chosen; `left_out` says why it is not, where that is known already."""
        if why := left_out or ("" if self._is_chosen(name) else EXCLUDED):
            self.left_out[why] += 1
        return not why

    def _is_chosen(self, name: str) -> bool:
        return (not self._include or _matches(name, self._include)) and not _matches(name, self._exclude)


def _matches(name: str, globs: Sequence[str]) -> bool:
    last = name.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) or fnmatchcase(last, pattern) for pattern in globs)
