from .attempts import solve as solve
from .best import Watch as Watch
from .box import Box as Box
from .box import project as project
from .box import round_to_bytes as round_to_bytes
from .gradients import outputs_of as outputs_of
from .rule import UpdateRule as UpdateRule
