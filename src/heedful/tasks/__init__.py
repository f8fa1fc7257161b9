"""What a training is for: data, model, metric, and how an example is shown."""
