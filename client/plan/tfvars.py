"""A deployment's numbers as Terraform variables of infra/."""

from __future__ import annotations

from math import ceil

from client.plan.formatting import memory
from client.plan.sizing import SPARE, Size


def written(size: Size, comment: str) -> str:
    """Return a .tfvars file that begins with a comment. The variables are `compute` and those of infra/sizes.tf."""
    given: dict[str, object] = {
        "compute": f'"{"worker" if size.delivery == "pull" else "push"}"',
        "cpu": size.cpu,
        "memory": f'"{memory(size.memory_mib)}"',
    }
    if size.delivery == "pull":
        given["instances"] = size.needed
        most = ceil(size.needed * SPARE)
        comment += (
            f"\n# to follow the backlog, instead of instances: scale = {{ max = {most}, rate = {size.per_s:.4g} }}"
        )
    else:
        assert size.deadlines, "a push deployment has deadlines"
        given |= {"concurrency": size.concurrency, "min_instances": size.min_instances}
        given |= {"max_instances": size.max_instances}
        given |= dict(zip(("timeout_seconds", "ack_deadline_seconds"), size.deadlines, strict=True))
    width = max(map(len, given))
    return f"# {comment}\n" + "".join(f"{name:<{width}} = {value}\n" for name, value in given.items())
