"""Kinds of tasks: what each takes and gives, what it costs, and the code that does it.

The code of a kind is imported by worker processes only; the descriptions are light.
"""
