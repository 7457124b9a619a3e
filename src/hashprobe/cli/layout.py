"""How help texts are laid out."""

from cyclopts.help import DefaultFormatter, HelpPanel, InlineText
from rich.console import Console, ConsoleOptions
from rich.text import Text


class Layout(DefaultFormatter):
    """Joins the source lines of each help text, so that it wraps at the width of the terminal."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Prints one panel of a help page."""
        for entry in panel.entries:
            text = entry.description
            if isinstance(text, InlineText) and isinstance(text.primary_renderable, Text):
                text.primary_renderable = Text(" ".join(text.primary_renderable.plain.split()))
        super().__call__(console, options, panel)
