from .attack_result import AttackResult as AttackResult
from .attack_result import LazyPixels as LazyPixels
from .executor import Executor as Executor
from .executor import InProcess as InProcess
from .executor import RayExecutor as RayExecutor
from .runner import craft as craft
