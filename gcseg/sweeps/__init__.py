"""Many trainings at once: each job a process of its own, and a ledger of what became of it."""
