"""What helps against attacks: remedies in front of a victim, and beside it."""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
