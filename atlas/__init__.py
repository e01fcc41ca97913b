"""The maths of activation atlases: arrays, tensors and modules in, arrays out; no file, no network, no scheduler."""
