"""Pure functions, DataFrames and a section of the conf in, DataFrames out; stages do not know each other."""
