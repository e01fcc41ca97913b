"""What stages write and readers read: one file per kind of array, table or picture."""
