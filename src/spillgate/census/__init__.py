"""Memory by namespace: ``estimate`` turns samples into numbers with their intervals, ``collect`` takes the samples."""
