"""Options that say who computes: this process, or a Ray cluster."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from hashprobe.cli.flags import RuntimeFlags
from hashprobe.errors import HashprobeError


if TYPE_CHECKING:
    from hashprobe.crafting.executor import RayExecutor
    from hashprobe.progress import Progress
    from hashprobe.types import Runtime


@dataclass(frozen=True)
class ClusterFlags:
    """Who computes.

    Example:
        >>> ClusterFlags().cluster() is None
        True
    """

    executor: Literal["local", "ray"] = "local"
    """local: this process; ray: workers of a Ray cluster (extra ray), each with the network once.
    A lost worker costs the shard that it computed."""
    address: str | None = None
    """The cluster for --executor ray: auto, HOST:6379 or ray://HOST:10001; by default one is
    started on this machine and ended with the command."""
    ray_workers: int = 2
    """Workers for --executor ray."""
    gpus: float = 0.0
    """GPUs of each worker, also a share of one."""

    def cluster(self) -> "RayExecutor | None":
        """The executor; None for this process.

        Raises:
            HashprobeError: an option of the cluster without it, or a value out of range.
        """
        if self.executor == "local":
            if self.address is not None or self.gpus:
                raise HashprobeError("--address and --gpus are for --executor ray")
            return None
        from hashprobe.crafting.executor import RayExecutor

        return RayExecutor(self.address, self.ray_workers, self.gpus)


@dataclass(frozen=True)
class ClusterRuntime(ClusterFlags, RuntimeFlags):
    """How a command computes whose shards may go to a cluster."""

    def open(self, progress: "Progress") -> "Runtime":
        """The runtime; see `RuntimeFlags.open`."""
        return replace(super().open(progress), executor=self.cluster())
