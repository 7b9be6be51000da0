"""Models of other libraries under names of ours."""
