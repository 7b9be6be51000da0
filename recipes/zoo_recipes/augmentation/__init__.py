"""Random changes of training examples, which never reach an export."""
