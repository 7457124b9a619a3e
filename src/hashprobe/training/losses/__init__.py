"""Hashing losses, one a file: functions of a batch's codes and of who is similar, or of centres."""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
