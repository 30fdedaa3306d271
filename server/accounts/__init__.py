"""Whose allowance it is: accounts, windows, tokens and their refresh."""
