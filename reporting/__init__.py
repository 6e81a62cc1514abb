"""What is made of finished runs: plots, tables, reports."""
