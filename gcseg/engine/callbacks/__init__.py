"""What happens during a training besides its steps."""
