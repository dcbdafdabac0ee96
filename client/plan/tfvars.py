"""A deployment's numbers as infra/ takes them."""

from __future__ import annotations

from client.plan.sizing import Size
from client.plan.units import memory


def written(size: Size, said: str) -> str:
    """A .tfvars file; `said` is a line of comment. The variables are those of infra/sizes.tf, and `compute`."""
    given: dict[str, object] = {
        "compute": f'"{"worker" if size.delivery == "pull" else "push"}"',
        "cpu": size.cpu,
        "memory": f'"{memory(size.memory_mib)}"',
    }
    if size.delivery == "pull":
        given["instances"] = size.needed
    else:
        assert size.deadlines, "a push deployment has deadlines"
        given |= {"concurrency": size.concurrency, "min_instances": size.min_instances}
        given |= {"max_instances": size.max_instances}
        given |= dict(zip(("timeout_seconds", "ack_deadline_seconds"), size.deadlines, strict=True))
    width = max(map(len, given))
    return f"# {said}\n" + "".join(f"{name:<{width}} = {value}\n" for name, value in given.items())
