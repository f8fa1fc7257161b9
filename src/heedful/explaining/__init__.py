"""Why a model says what it says of one input, and whether that explanation can be trusted."""
