"""What commands print: answers, tables, numbers."""
