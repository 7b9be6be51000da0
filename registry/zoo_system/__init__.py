"""What every floor above stands on: errors, files, processes, the machine, fetching."""
