"""Other people's formats in, our rows out."""
