"""What deserves a look in the plugins: gather facts, apply the rules, word the findings."""
