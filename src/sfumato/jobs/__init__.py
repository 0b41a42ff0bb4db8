"""What the commands do, callable from Python: no parsing, and nothing on standard output."""
