"""What the stages share: carry out a task, read its inputs, pass images through the model, write its results."""
