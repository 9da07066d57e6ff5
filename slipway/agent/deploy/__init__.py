"""One deployment on this host: what is to be done, in which order, and what a failure does."""
