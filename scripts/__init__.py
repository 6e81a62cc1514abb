"""Programs behind the shell scripts."""
