"""One runnable file per extension point: a method, a network, a data set, an ensemble."""
