"""The viewer's requests that need the model, and the process that answers them."""
