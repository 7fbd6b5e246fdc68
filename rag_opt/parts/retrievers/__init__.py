"""Which candidate lists are asked for, and how they become one."""
