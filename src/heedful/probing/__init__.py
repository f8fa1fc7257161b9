"""Looking at the weights of attention that never stores them, without slowing it down."""
