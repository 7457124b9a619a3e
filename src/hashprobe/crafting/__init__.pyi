from .record import Attacked as Attacked
from .record import Stored as Stored
from .runner import craft as craft
