"""Options that are on when they are named."""

from typing import Annotated

from cyclopts import Parameter


Flag = Annotated[bool, Parameter(negative=())]
"""An option without a value, and without a --no- twin: off is its default."""
