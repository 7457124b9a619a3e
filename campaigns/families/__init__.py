"""Kinds of malformed inputs; each file gives the cases of one or a few."""
