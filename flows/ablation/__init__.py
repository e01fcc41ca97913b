"""What a unit does: change it while the model runs, and measure what becomes of the class scores."""
