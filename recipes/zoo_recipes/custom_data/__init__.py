"""The user's own files as a data set: what they hold, what is wrong with them, and their splits."""
