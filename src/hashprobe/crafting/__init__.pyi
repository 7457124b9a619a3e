from .attack_result import AttackResult as AttackResult
from .attack_result import LazyPixels as LazyPixels
from .runner import craft as craft
