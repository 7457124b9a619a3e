"""Networks that turn pixels into logits, whose signs are the code."""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
