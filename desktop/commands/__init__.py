"""The commands of `brimline`, by subject; each imports only what it needs when it runs."""
