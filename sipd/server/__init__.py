"""Floor 4: carries decisions out. Dispatch, calls, forks, branches, the clock."""
