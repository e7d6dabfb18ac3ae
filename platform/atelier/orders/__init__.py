"""Orders of credits: what is on offer, what was ordered, what became of it, and what was paid back."""
