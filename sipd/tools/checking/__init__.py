"""What `cpl-check` is made of: one room for each thing that it does."""
