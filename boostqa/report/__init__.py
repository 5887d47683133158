"""What people read: the state of a warehouse, where the tokens went, the story of an item."""
