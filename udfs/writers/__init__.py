"""How one shard of the mix becomes files: one module a format, each with EXTENSIONS and writing(sinks, schema, export)."""
