from .base import Columns as Columns
from .base import StoredCodes as StoredCodes
from .registry import read_codes as read_codes
