"""Procedural pictures: fields of numbers, colours, scenes, patterns and lettering. Imports numpy and Pillow."""
