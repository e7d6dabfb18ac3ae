"""Synthesised sound: a score by rules, instruments, mixing, encoding, and speech where its engine is installed."""
