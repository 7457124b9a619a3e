"""Attacks on codes, one paper a file, and what they are aimed at."""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
