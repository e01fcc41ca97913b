"""One image taken apart: explain, saliency, locate."""
