"""How one shard of the mix becomes files: one module a format, each with ENDINGS (a pattern) and writing(create, schema, export)."""
