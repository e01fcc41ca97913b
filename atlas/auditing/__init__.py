"""Tell whether units fire on something that a class's images have in common beside the class."""
