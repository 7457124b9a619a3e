"""The devices of a training, and several processes that report to one caller."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessRaisedException

from hashprobe.errors import HashprobeError
from hashprobe.storage.environment import cores
from hashprobe.training.options import TrainOptions


if TYPE_CHECKING:
    from lightning_fabric import Fabric
else:
    Fabric = Any  # a second to load: only where a training begins


# Notes about precision and ranks are noise; warnings are still shown. A spawned process imports
# lightning-fabric before this module; `open_fabric` imports it after, which resets the level.
NOTES = logging.getLogger("lightning_fabric")
NOTES.setLevel(logging.WARNING)


def open_fabric(options: TrainOptions) -> Fabric:
    """The devices that the options ask for.

    Raises:
        HashprobeError: this machine does not have them.
    """
    limit = 4 * cores()
    if options.devices > limit and (options.accelerator == "cpu" or not torch.cuda.is_available()):
        raise HashprobeError(
            f"devices must be at most {limit} on this machine, 4 for each core; "
            f"got {options.devices}"
        )
    precision: Any = "bf16-mixed" if options.precision == "bfloat16" else "32-true"
    from lightning_fabric import Fabric

    NOTES.setLevel(logging.WARNING)
    try:
        return Fabric(
            accelerator=options.accelerator,
            strategy="auto" if options.devices == 1 else "ddp_spawn",
            devices=options.devices,
            precision=precision,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise HashprobeError(
            f"cannot train on {options.devices} x {options.accelerator} here: {reason}"
        ) from error


@dataclass(frozen=True)
class Sender:
    """Takes the place of a callback of the caller in a spawned process."""

    queue: Any
    name: str

    def __call__(self, *values: object) -> None:
        self.queue.put((self.name, values))


class Relay:
    """A thread that calls functions of the caller with the values that spawned processes send.

    Results are sent this way too: a process that writes to a pipe waits until the pipe is read.
    """

    def __init__(self, receivers: dict[str, Callable[..., None]]) -> None:
        self.queue = get_context("spawn").SimpleQueue()
        self.receivers = receivers
        self.failure: BaseException | None = None

    def sender(self, name: str) -> Sender:
        """The function by which a process calls one of the receivers."""
        return Sender(self.queue, name)

    def listen(self) -> None:
        """Calls the receivers until the end is sent; after a failure, only empties the queue."""
        while (item := self.queue.get()) is not None:
            name, values = item
            if self.failure is not None:
                continue
            try:
                if name == "error":
                    raise HashprobeError(*values)
                self.receivers[name](*values)
            except BaseException as error:
                self.failure = error

    def launch(self, fabric: Fabric, function: Callable[..., None]) -> None:
        """Run a function in every process, and raise the error of a process or of a receiver.

        Args:
            fabric: the processes.
            function: called with the fabric; it can be pickled.
        """
        thread = Thread(target=self.listen, daemon=True)
        thread.start()
        try:
            fabric.launch(function)
        except ProcessRaisedException:
            # A process that died may have kept the queue's lock: do not wait for the end.
            thread.join(timeout=1)
            if self.failure is None:
                raise
        else:
            self.queue.put(None)
            thread.join()
        if self.failure is not None:
            raise self.failure
