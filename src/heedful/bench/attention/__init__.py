"""`heedful.attend` side by side with PyTorch's attention: time, error, and how near the limit."""
