"""Numbers from arrays: measures with signatures, perceptibility, the record of an attack."""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
