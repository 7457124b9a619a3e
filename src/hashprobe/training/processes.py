"""Devices of a training, and several processes that report to one caller."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any

from lightning_fabric import Fabric
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessRaisedException

from hashprobe.errors import HashprobeError
from hashprobe.training.options import TrainOptions


# Notes about precision and ranks are noise to who trains; warnings still come through. It is set
# on import because spawned processes have to keep silent too.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def open_fabric(options: TrainOptions) -> Fabric:
    """The devices that the options ask for.

    Raises:
        HashprobeError: this machine does not have them.
    """
    precision: Any = "bf16-mixed" if options.precision == "bfloat16" else "32-true"
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
    """Stands in a spawned process for a callback of the caller."""

    queue: Any
    name: str

    def __call__(self, *values: object) -> None:
        self.queue.put((self.name, values))


class Relay:
    """Calls the caller's functions with what spawned processes send, in a thread.

    A pipe that nobody reads blocks who writes, so results travel this way too.
    """

    def __init__(self, receivers: dict[str, Callable[..., None]]) -> None:
        self.queue = get_context("spawn").SimpleQueue()
        self.receivers = receivers
        self.failure: BaseException | None = None

    def sender(self, name: str) -> Sender:
        """What a process calls to reach one of the receivers."""
        return Sender(self.queue, name)

    def listen(self) -> None:
        """Pass everything on until the end is sent; after a failure, only drain."""
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
        """Run a function in every process, and raise what went wrong there or in a receiver.

        Args:
            fabric: the processes.
            function: called with the fabric; it can be pickled.
        """
        thread = Thread(target=self.listen, daemon=True)
        thread.start()
        try:
            fabric.launch(function)
        except ProcessRaisedException:
            # The queue's lock may have died with a process: do not wait for its end.
            thread.join(timeout=1)
            if self.failure is None:
                raise
        else:
            self.queue.put(None)
            thread.join()
        if self.failure is not None:
            raise self.failure
