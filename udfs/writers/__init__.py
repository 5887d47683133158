"""How one shard of the mix becomes a file: one module a format, each with EXTENSION and write(rows, sink)."""
