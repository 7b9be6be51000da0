"""What is shown of runs: tables, comparisons, pages, cards and curves."""
