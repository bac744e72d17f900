"""Which samples of a data set are trained on: expressions over what is known of each."""
