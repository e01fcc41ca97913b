"""Read and write the files of stage results: one module per kind of array, table or picture."""
