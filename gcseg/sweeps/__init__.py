"""Many trainings at once: a process for each job, and a ledger of the outcomes."""
