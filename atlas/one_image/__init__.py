"""Building blocks of one image: what a layer sees in it, where, and what that speaks for (Olah et al., Distill 2018)."""
