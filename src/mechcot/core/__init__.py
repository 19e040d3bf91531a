"""What every floor stands on: errors, files, records, settings, stages."""
