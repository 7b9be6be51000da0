"""What is shown of runs: tables, comparisons, pages, cards and curves."""

# What runs can be sorted by.
SORTED_BY = ("started", "name", "metric", "seconds")
