"""What is compared for each task: one `ENTRY` a file, called as the task is."""
