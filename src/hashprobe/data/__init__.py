"""Where pixels come from: data sets of images and videos, the field's splits, and decoding."""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
