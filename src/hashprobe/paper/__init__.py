"""The tables and figures of the DHTA paper as recipes, and the code that computes them."""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
