"""The store and its protocol: drafts, results, versions, locks, repair (docs/store.md)."""
