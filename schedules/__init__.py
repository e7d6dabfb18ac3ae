"""What happens by the clock: names and periods, no logic."""
