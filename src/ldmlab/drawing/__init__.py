"""One way to draw: a value that says how, conditions made by one rule, and one loop under everything that is drawn."""
