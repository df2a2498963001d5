"""The objects that a model wants, each as the whole set of our fields. Pure: built from values alone."""
