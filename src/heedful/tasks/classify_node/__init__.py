"""Node classification: a label for each node of a graph, by attention over its neighbours."""
