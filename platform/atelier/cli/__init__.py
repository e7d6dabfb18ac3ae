"""The command line: `atelier`. Each command is a module of its own and is imported when it is asked for."""
