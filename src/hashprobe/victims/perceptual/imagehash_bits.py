"""Bits of a picture by the library ImageHash."""

import numpy as np
from jaxtyping import Bool, UInt8

from hashprobe.victims.perceptual.base import PerceptualHash


class ByImageHash(PerceptualHash):
    """A 64-bit hash that ImageHash defines; Pillow resizes."""

    length = 64
    library = "imagehash"
    decided_by = ("ImageHash", "Pillow")
    function: str
    """The function of the library."""

    def judged(self, picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, " k"]:
        """The bits row by row, as the library's hex text has them."""
        import imagehash
        from PIL import Image

        made = getattr(imagehash, self.function)(Image.fromarray(picture))
        return np.asarray(made.hash, dtype=bool).flatten()
