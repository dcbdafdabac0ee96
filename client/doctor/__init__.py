"""The doctor: looks a deployment over with the caller's rights, one file for each thing that is looked at."""
