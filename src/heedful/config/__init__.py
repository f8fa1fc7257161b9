"""The TOML file of a training: its sections, how it is read and written, what is wrong with it."""
