"""Nouns and errors of the hub. Standard library only; every other package may import this one."""
