from .encoding import encode as encode
from .session import Precision as Precision
from .session import Session as Session
