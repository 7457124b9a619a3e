"""ONNX files as victims: gradients by a converted network, or queries alone by onnxruntime."""

import hashlib
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hashprobe.errors import HashprobeError, missing_extra
from hashprobe.tensors import Images
from hashprobe.victims.base import frozen_eval
from hashprobe.victims.foreign import VictimOptions
from hashprobe.victims.onnx_file import OnnxFile, first_line
from hashprobe.victims.onnx_graph import convertible
from hashprobe.victims.wrap import Victim


ALIKE = 1e-3
"""Difference of outputs, in units of their largest size, that the order of sums makes."""


class OnnxVictim(Victim):
    """An ONNX file as a victim; `load_victim` makes it.

    Args:
        file: the graph.
        options: what is known of its input and its bits; the size and the layout must be.

    Raises:
        HashprobeError: neither a converter nor onnxruntime takes the graph.
    """

    def __init__(self, file: OnnxFile, options: VictimOptions) -> None:
        self.session = Session(file)
        self.query_only = ""
        try:
            network: nn.Module = Converted(file, options)
        except NotConvertible as error:
            self.query_only = f"{file.path.name} cannot be converted to torch ({error})"
            network = Queried(self.session)
        known = replace(options, output=None).said()
        super().__init__(network, **{"bits": 1, **known})
        self.file = file

    @property
    def reading(self) -> dict[str, Any]:
        """How outputs are read: part of an attack's recipe."""
        more = {"output": self.file.output} if self.file.chosen else {}
        return {**super().reading, **more}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the file is computed, one line each."""
        if self.query_only:
            return (f"note: {self.query_only}: only attacks by queries can be used",)
        assert isinstance(self.network, Converted)
        slow = self.network.single and "; it takes one picture at a time, so that attacks are slow"
        return (
            f"gradients are those of {self.file.path.name} converted by onnx2torch{slow or ''}",
        )

    def difference(self, images: Images) -> float | None:
        """How far the converted network's outputs are from onnxruntime's, on some pictures.

        Args:
            images: (N, 3, size, size) in [0, 1].

        Returns:
            The largest difference of two outputs; None where one of both is missing, or cannot
            compute the file.
        """
        if self.query_only:
            return None
        with frozen_eval(self), torch.no_grad():
            pixels = self.normalised(images)
            try:
                there = self.session(pixels)
            except HashprobeError:
                return None
            return float((self.network(pixels) - there).abs().max())


class NotConvertible(Exception):
    """Why a graph cannot be converted."""


class Session:
    """A graph in onnxruntime, opened when it is first used."""

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        self.opened: Any = None

    def __deepcopy__(self, _: Any) -> "Session":
        return self

    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, K) outputs of pictures as the network takes them, on their device."""
        given = pixels.detach().cpu().numpy()
        if self.file.dtype == "uint8":
            given = given.round().clip(0, 255)
        given = given.astype(self.file.dtype)
        step = self.file.batch or len(given)
        rows = [self.run(given[start : start + step], step) for start in range(0, len(given), step)]
        made = torch.from_numpy(np.concatenate(rows))
        return flat(made.float() if made.is_floating_point() else made).to(pixels.device)

    def run(self, given: np.ndarray, step: int) -> np.ndarray:
        """Outputs of at most so many pictures; a batch that is too short is filled up."""
        if self.opened is None:
            self.opened = self.open()
        padded = np.concatenate(
            [given, np.zeros((step - len(given), *given.shape[1:]), given.dtype)]
        )
        try:
            (made,) = self.opened.run([self.file.output], {self.file.input: padded})
        except Exception as error:  # onnxruntime has a dozen of its own
            raise HashprobeError(
                f"onnxruntime fails on {self.file.path.name} with pixels of shape {padded.shape}: "
                f"{first_line(error)}"
            ) from error
        array: np.ndarray = np.asarray(made)
        return array[: len(given)] if len(array) == step else array

    def open(self) -> Any:
        """A session of onnxruntime."""
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_extra("onnxruntime", "onnx", f"{self.file.path.name}") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            # A whole graph is read from its file: it may be larger than a message can be.
            source = self.file.path
            given = self.file.model.SerializeToString() if self.file.chosen else str(source)
            return onnxruntime.InferenceSession(given, options, ["CPUExecutionProvider"])
        except Exception as error:
            raise HashprobeError(
                f"onnxruntime cannot read {self.file.path}: {first_line(error)}"
            ) from error


class Queried(nn.Module):
    """A graph without gradients, computed by onnxruntime."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        session.opened = session.open()  # what is wrong with the file is said when it is loaded
        model = session.file.model.SerializeToString(deterministic=True)
        self.digest = hashlib.sha256(model).hexdigest()

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, K) outputs."""
        return self.session(pixels)

    def get_extra_state(self) -> str:
        """What stands for the weights, which onnxruntime holds."""
        return self.digest

    def set_extra_state(self, state: Any) -> None:
        """Nothing can be changed."""


class Converted(nn.Module):
    """A graph as a network of torch, for any number of pictures.

    Raises:
        NotConvertible: the converter does not take it.
    """

    def __init__(self, file: OnnxFile, options: VictimOptions) -> None:
        super().__init__()
        size, layout = options.contract().size, options.contract().layout
        try:
            import onnx2torch
        except ImportError as error:
            raise missing_extra(error.name or "onnx2torch", "onnx", file.path.name) from error
        double = file.dtype == "float64"
        self.dtype = torch.float64 if double else torch.float32
        shape = (3, size, size) if layout == "nchw" else (size, size, 3)
        # A graph for a fixed number of pictures as one for any number, and then as it is.
        for freed in (True, False):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model = convertible(file, size, layout, freed=freed)
                    self.network = broadcasting(onnx2torch.convert(model)).eval()
                self.check(shape)
                return
            except Exception as error:  # a converter raises whatever it trips over
                if not freed or file.batch is None:
                    raise NotConvertible(first_line(error)) from error

    def check(self, shape: tuple[int, ...]) -> None:
        """Finds out whether pictures can go through together; fails if the network does."""
        self.single = False
        chance = torch.Generator().manual_seed(0)
        noise = torch.rand(2, *shape, generator=chance)
        with frozen_eval(self), torch.no_grad():
            alone = torch.cat([self.one(noise[:1]), self.one(noise[1:])])
            try:
                together = self.one(noise)
                limit = ALIKE * alone.abs().max()
                self.single = not bool(
                    together.shape == alone.shape and ((together - alone).abs() <= limit).all()
                )
            except Exception:  # a shape in the file that holds for one picture
                self.single = True

    def one(self, pixels: Tensor) -> Tensor:
        """Outputs of pictures that go through together."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: Tensor = self.network(pixels.to(self.dtype))
        return flat(made)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, K) outputs."""
        if not self.single:
            return self.one(pixels)
        return torch.cat([self.one(pixels[row : row + 1]) for row in range(len(pixels))])


class Joining(nn.Module):
    """Joins tensors along an axis; what there is of one picture is there of each."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *parts: Tensor) -> Tensor:
        """The tensors in one."""
        count = max(len(part) if part.ndim > 1 else 0 for part in parts)
        if self.axis and count > 1:
            parts = tuple(p if len(p) != 1 else p.expand(count, *p.shape[1:]) for p in parts)
        return torch.cat(parts, self.axis)


def broadcasting(network: nn.Module) -> nn.Module:
    """A converted network in which constants, such as the class token of a transformer, are joined
    to each of several pictures."""
    for name, module in list(network.named_children()):
        if type(module).__name__ == "OnnxConcat":
            setattr(network, name, Joining(module.axis))  # type: ignore[arg-type]
    return network


def flat(outputs: Tensor) -> Tensor:
    """Outputs without axes of length 1 behind the first, as a pooling leaves them.

    Example:
        >>> flat(torch.zeros(2, 5, 1, 1)).shape, flat(torch.zeros(2, 5, 2, 1)).shape
        (torch.Size([2, 5]), torch.Size([2, 5, 2, 1]))
    """
    long = [side for side in outputs.shape[1:] if side != 1]
    return outputs.flatten(1) if outputs.ndim > 2 and len(long) <= 1 else outputs
