"""The viewer: a web page over a store's runs, and the JSON interface behind it (docs/viewer.md)."""
