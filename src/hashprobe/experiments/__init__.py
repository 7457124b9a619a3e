"""The tables and figures of the DHTA paper as recipes, and the code that runs them.

A recipe says what stands in the rows and columns; a setting says which data, networks and attacks
stand for the paper's. Networks and attacks that recipes share are computed once.
"""

from hashprobe.experiments.recipe import Cell, Recipe, load_recipe, recipe_names
from hashprobe.experiments.reproduce import chosen, expected_minutes, reproduce
from hashprobe.experiments.result import Entry, Result, Verdict
from hashprobe.experiments.settings import Setting, dataset_names, load_setting
from hashprobe.experiments.tables import markdown


__all__ = [
    "Cell",
    "Entry",
    "Recipe",
    "Result",
    "Setting",
    "Verdict",
    "chosen",
    "dataset_names",
    "expected_minutes",
    "load_recipe",
    "load_setting",
    "markdown",
    "recipe_names",
    "reproduce",
]
