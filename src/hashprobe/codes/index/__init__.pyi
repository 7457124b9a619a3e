from .base import Found as Found
from .base import Index as Index
from .fake import FakeIndex as FakeIndex
from .flat import FlatIndex as FlatIndex
from .postgres import PostgresIndex as PostgresIndex
