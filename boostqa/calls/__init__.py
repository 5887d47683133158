"""A model call from the driver's side: who is asked, what a request is, what the ledger holds, and the asking."""
