"""The sizes of a push deployment as infra/ takes them."""

from __future__ import annotations

from client.plan.sizing import Size
from client.plan.units import memory


def written(size: Size, said: str) -> str:
    """A .tfvars file; `said` is a line of comment. The variable and its attributes are those of infra/variables.tf."""
    assert size.deadlines, "a push deployment has deadlines"
    given = {
        "concurrency": size.concurrency,
        "cpu": size.cpu,
        "memory": f'"{memory(size.memory_mib)}"',
        "min_instances": size.min_instances,
        "max_instances": size.max_instances,
        "timeout_seconds": size.deadlines[0],
    }
    width = max(map(len, given))
    attributes = "".join(f"  {name:<{width}} = {value}\n" for name, value in given.items())
    return f"# {said}\nworker = {{\n{attributes}}}\n"
