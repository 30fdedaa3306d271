"""What was used: prices, totals, lists and trends."""
