"""What attention sites spend: how it is read, changed, and written down as a plan."""
