"""One training by several processes, on one machine or on many."""

# The launcher that starts workers as processes of this machine.
LOCAL = "local"
